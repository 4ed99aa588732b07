"""Stores: one module and one outside library each, chosen by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrec.errors import StoreError
from vidrec.files import expanded
from vidrec.plugins import installed, opening, unknown

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.stores.base import VectorStore
    from vidrec.stores.knn.store import KnnStore

BUILT_IN = ("knn", "qdrant")
_begun: dict[str, VectorStore] = {}  # by place


def begin(settings: Settings) -> None:
    """Have the local index made ready by another thread, for whoever opens that store next.

    For a question asked once, before the rest of what answers it is imported.
    """
    if settings.store.name == "knn":
        store = _local(settings)
        store.begin()
        _begun[store.place] = store


def open_store(settings: Settings) -> VectorStore:
    """Return the collection of the settings' embedder in the settings' store.

    A third party adds a store by an entry point of the group ``vidrec.stores``: a callable that
    takes the ``Settings`` and returns a ``VectorStore``.

    Raises:
        ConfigError: no store has that name.
        StoreError: the store cannot be opened.
    """
    match settings.store.name:
        case "knn":
            store = _local(settings)
            return _begun.pop(store.place, store)
        case "qdrant":
            from vidrec.stores.qdrant import open_qdrant

            return open_qdrant(settings)
        case name:
            return _third_party(name, settings)


def _local(settings: Settings) -> KnnStore:
    from vidrec.stores.knn.store import KnnStore

    folder = expanded(settings.knn.path or settings.library / "knn")
    return KnnStore(folder, settings.embedder.name)


def _third_party(name: str, settings: Settings) -> VectorStore:
    from vidrec.stores.base import VectorStore

    found = installed("vidrec.stores")
    if name not in found:
        raise unknown("store", name, [*BUILT_IN, *sorted(found)])
    with opening("store", found[name], StoreError):
        store = found[name].load()(settings)
        named = getattr(store, "name", name)
    if not isinstance(store, VectorStore):
        kind = type(store).__name__
        raise StoreError(f"{found[name].value} made a {kind}, which stores nothing")
    if named != name:
        raise StoreError(
            f"the store {name} ({found[name].value}) calls itself {named}: both must be the same"
        )
    return store
