"""Embedders: one module and one outside library each, chosen by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.errors import ConfigError

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.embedders.base import Embedder

BUILT_IN = ("conse", "resnet", "marengo")


def load_embedder(settings: Settings) -> Embedder:
    """Return the embedder that the settings name, cheaply: no model is loaded yet.

    A third party adds one by an entry point of the group ``vidrec.embedders``: a callable that
    takes the ``Settings`` and returns an ``Embedder``.

    Raises:
        ConfigError: no embedder has that name.
        EmbedderError: what it needs is missing (a checkpoint, a key).
    """
    match settings.embedder.name:
        case "conse":
            from vidrec.embedders.conse import ConseEmbedder

            return ConseEmbedder(settings)
        case "resnet":
            from vidrec.embedders.resnet import ResnetEmbedder

            return ResnetEmbedder(settings)
        case "marengo":
            from vidrec.embedders.marengo.embedder import MarengoEmbedder

            return MarengoEmbedder(settings)
        case name:
            return _third_party(name, settings)


def _third_party(name: str, settings: Settings) -> Embedder:
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group="vidrec.embedders")}
    if name not in found:
        from vidrec.embedders.stored import stored_embedder

        stored = stored_embedder(settings)
        if stored is not None:
            return stored
        known = ", ".join([*BUILT_IN, *sorted(found)])
        raise ConfigError(f"no embedder {name!r}: choose one of {known}")
    embedder: Embedder = found[name].load()(settings)
    return embedder
