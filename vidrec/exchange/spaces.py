"""Spaces: which fingerprint an imported vector bears, and so what it may be compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.errors import ConfigError, UsageError, VidrecError
from vidrec.exchange.rows import checked_name
from vidrec.sections import Section
from vidrec.types import Fingerprint

if TYPE_CHECKING:
    from vidrec.embedders.base import Embedder
    from vidrec.exchange.importing import ImportOptions
    from vidrec.exchange.rows import Row


class Spaces:
    """Gives rows their fingerprints."""

    def __init__(
        self, settings: Settings, known: Iterable[Fingerprint], options: ImportOptions
    ) -> None:
        """Prepare; ``known`` are the library's fingerprints.

        Raises:
            UsageError: there is no such embedder, model or option.
        """
        self._settings = settings
        self._known = {str(fingerprint): fingerprint for fingerprint in known}
        self._embedder = options.embedder or "imported"
        self._model, self._space = options.model or "unknown", options.space
        self._asked: dict[int, Fingerprint] = {}  # by dimension
        self._looked: set[str] = set()
        self._dim = 0  # of the rows that name no embedder
        # Of embedders that rows name as vidrec does: how long it would cut clips now.
        self.lengths: dict[str, float] = {}
        if options.space is not None:
            self._asked_for(None)

    def of(self, row: Row) -> Fingerprint:
        """Return the fingerprint of a row's vector.

        Raises:
            UsageError: the row tells none, or its vector cannot be of the space asked for.
        """
        dim = len(row["vector"])
        if self._space is not None:
            return self._asked_for(dim)
        written = row.get("fingerprint")  # of a point in Qdrant: its options are a digest only
        if written and row.get("embedder") is None and written.count(":") >= 3:
            return self._written(written, dim)
        if not row.get("embedder"):
            self._dim = self._dim or dim
            if dim != self._dim:
                raise UsageError(
                    f"{row['where']}: the vector has {dim} numbers, those before it {self._dim}"
                )
        options = row.get("options")
        return Fingerprint(
            row.get("embedder") or self._embedder,
            row.get("model") or self._model,
            dim,
            options if isinstance(options, dict) else {},
        )

    def _written(self, written: str, dim: int) -> Fingerprint:
        embedder, rest = written.split(":", 1)
        if written not in self._known and embedder not in self._looked:
            self._looked.add(embedder)
            self._know_embedder(checked_name(embedder, "fingerprint: embedder"))
        model = rest.rsplit(":", 2)[0]
        unknown = Fingerprint(embedder, model, dim, {"imported": written})
        return self._known.get(written, unknown)

    def _know_embedder(self, name: str) -> None:
        """Take note of the fingerprints that an embedder has under the settings."""
        try:
            embedder = load_embedder(self._settings, name)
        except VidrecError:
            return
        length = 0.0 if embedder.own_clips else self._settings.embedder.clip_seconds
        for fingerprint in embedder.fingerprints:
            self._known.setdefault(str(fingerprint), fingerprint)
            self.lengths[str(fingerprint)] = length

    def _asked_for(self, dim: int | None) -> Fingerprint:
        """Return the fingerprint that the embedder has that a text query will use."""
        if dim not in self._asked:
            assert self._space is not None
            name, *rest = self._space.split(":", 2)
            model, option = (*rest, "", "")[:2]
            made = self._made(name, {"model": model, "option": option}).fingerprint
            if model and made.model != model:
                raise UsageError(f"{name} has the model {made.model}. Received: {self._space}")
            if dim is None:
                return made
            if made.dim != dim:
                made = self._of_dim(name, {"model": model, "option": option, "dim": dim}, made)
            self._asked[dim] = made
        return self._asked[dim]

    def _of_dim(self, name: str, wishes: dict[str, Any], made: Fingerprint) -> Fingerprint:
        dim = wishes["dim"]
        try:
            found = self._made(name, wishes).fingerprint
        except UsageError:
            found = made
        if found.dim != dim:
            raise UsageError(f"a vector has {dim} numbers, {made.model} of {name} has {made.dim}")
        return found

    def _made(self, name: str, wishes: dict[str, Any]) -> Embedder:
        changed = self._settings.choosing(name)
        section = getattr(changed, name, None)
        if isinstance(section, Section):
            fields = type(section).model_fields
            given = {key: value for key, value in wishes.items() if value and key in fields}
            try:
                values = {key: getattr(section, key) for key in fields}
                setattr(changed, name, type(section).model_validate({**values, **given}))
            except ValueError as exc:
                told = " ".join(str(value) for value in given.values())
                raise UsageError(f"{name} has no such model or option. Received: {told}") from exc
        try:
            return load_embedder(changed)
        except ConfigError as exc:
            raise UsageError(str(exc)) from exc
