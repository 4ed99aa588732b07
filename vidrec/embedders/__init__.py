"""Embedders: one module and one outside library each, chosen by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from vidrec.errors import EmbedderError
from vidrec.plugins import installed, opening, unknown

if TYPE_CHECKING:
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
    """Return a third party's embedder, seen to be what it says.

    Raises:
        EmbedderError: it cannot be imported or made, or goes by several names.
    """
    from vidrec.embedders.base import Embedder
    from vidrec.embedders.stored import stored_embedder

    found = installed("vidrec.embedders")
    if name not in found:
        if (stored := stored_embedder(settings, name)) is not None:
            return stored
        raise unknown("embedder", name, [*BUILT_IN, *sorted(found)])
    entry = found[name]
    with opening("embedder", entry, EmbedderError):
        embedder = entry.load()(settings)
        named = (embedder.name, embedder.fingerprint.embedder)
        dim = embedder.fingerprint.dim
    if not isinstance(embedder, Embedder):
        raise EmbedderError(f"{entry.value} made a {type(embedder).__name__}, which embeds nothing")
    if set(named) != {name}:
        raise EmbedderError(
            f"the embedder {name} ({entry.value}) calls itself {named[0]} and its fingerprint's "
            f"embedder {named[1]}: all three must be the same"
        )
    if not isinstance(dim, int) or dim < 1:
        raise EmbedderError(
            f"the embedder {name} ({entry.value}) must say its dim. Received: {dim}"
        )
    return embedder
