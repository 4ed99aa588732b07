"""What a user asks of one run of ``embed``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vidrec.errors import UsageError
from vidrec.ingest.plan import Shard
from vidrec.ingest.scan import LabelFrom

_LEAST = {"limit": 1, "workers": 1, "max_minutes": 0, "gpus": 0}


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """What the user asks of one run."""

    limit: int | None = None
    retry_failed: bool = False
    force: bool = False
    label_from: LabelFrom = "auto"
    max_minutes: float | None = None
    allow_paid: bool = False  # without it and max_minutes, [paid] ask_minutes is the most
    repair: bool = False
    exclude: tuple[str, ...] = ()
    dry_run: bool = False
    wait: bool = False
    shard: Shard | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None  # of a Ray cluster; None starts one here
    workers: int | None = None  # on the cluster; None as many as it has room for
    gpus: float = 0.0  # of a graphics card, for each of them

    def __post_init__(self) -> None:
        """Refuse what would be misunderstood in silence.

        Raises:
            UsageError: a value is of another kind, or out of range.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value >= least):
                raise self._wrong(name, f"at least {least}")
        if self.label_from not in get_args(LabelFrom):
            raise self._wrong("label_from", "auto, folder or none")
        if self.engine not in ("local", "ray"):
            raise self._wrong("engine", "local or ray")
        if isinstance(self.exclude, str):
            raise self._wrong("exclude", "a tuple of patterns")
        if self.shard is not None and not _is_shard(self.shard):
            raise self._wrong("shard", "(i, n), the i-th of n parts")

    def _wrong(self, name: str, what: str) -> UsageError:
        return UsageError(f"{name} is {what}. Received: {name}={getattr(self, name)!r}")


def _is_shard(shard: object) -> bool:
    match shard:
        case (int(part), int(parts)):
            return 1 <= part <= parts
    return False
