"""Embedders: one module and one outside library each, chosen by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from vidrec.errors import ConfigError, EmbedderError, VidrecError
from vidrec.wording import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from vidrec.config import Settings
    from vidrec.embedders.base import Embedder

BUILT_IN = {  # their modules here, and their classes
    "conse": ("conse", "ConseEmbedder"),
    "clip": ("clip", "ClipEmbedder"),
    "resnet": ("resnet", "ResnetEmbedder"),
    "marengo": ("marengo.embedder", "MarengoEmbedder"),
}
PAID = ("marengo",)  # those of them that cost money; a third party's show by what was paid


def load_embedder(settings: Settings, name: str | None = None) -> Embedder:
    """Return the embedder of that name, or that the settings name: no model is loaded yet.

    A third party adds one by an entry point of the group ``vidrec.embedders``: a class (or any
    callable) that takes the ``Settings`` and returns an ``Embedder``.

    Raises:
        ConfigError: no embedder has that name.
        EmbedderError: what it needs is missing (a checkpoint, a key).
    """
    from vidrec.media import limits

    limits.use(settings.media)
    name = name or settings.embedder.name
    if name not in BUILT_IN:
        return _third_party(name, settings)
    module, kind = BUILT_IN[name]
    embedder: Embedder = getattr(import_module(f"{__name__}.{module}"), kind)(settings)
    return embedder


def _third_party(name: str, settings: Settings) -> Embedder:
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group="vidrec.embedders")}
    if name in found:
        return _opened(found[name], settings)
    from vidrec.embedders.stored import stored_embedder

    stored = stored_embedder(settings, name)
    if stored is not None:
        return stored
    hint, known = did_you_mean(name, (*BUILT_IN, *found)), ", ".join([*BUILT_IN, *sorted(found)])
    raise ConfigError(f"no embedder {name!r}{hint} (choose one of {known})")


def _opened(entry: EntryPoint, settings: Settings) -> Embedder:
    """Return a third party's embedder, seen to be what it says.

    Raises:
        EmbedderError: it cannot be imported or made, or goes by several names.
    """
    from vidrec.embedders.base import Embedder

    try:
        embedder = entry.load()(settings)
        named = (embedder.name, embedder.fingerprint.embedder)
    except VidrecError:
        raise
    except Exception as exc:
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise EmbedderError(
            f"the embedder {entry.name} ({entry.value}) cannot be opened: {reason}"
        ) from exc
    if not isinstance(embedder, Embedder):
        raise EmbedderError(f"{entry.value} made a {type(embedder).__name__}, which embeds nothing")
    if set(named) != {entry.name}:
        raise EmbedderError(
            f"the embedder {entry.name} ({entry.value}) calls itself {named[0]} and its "
            f"fingerprint's embedder {named[1]}: all three must be the same"
        )
    return embedder
