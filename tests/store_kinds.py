"""Every store that the contract suite runs on, each as a function that opens it.

Qdrant is met in memory, over HTTP through a stand-in, as an engine in a folder, and live where
``VIDREC_TEST_QDRANT_URL`` names a server (``VIDREC_TEST_QDRANT_API_KEY``; once by HTTP, once by
gRPC).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from qdrant_client import QdrantClient

from tests.plain_store import PlainStore
from tests.standin_qdrant import StandinQdrant
from vidrec.conditions import Filter
from vidrec.search.rank import nearest
from vidrec.sections import QdrantSettings
from vidrec.stores.base import VectorStore
from vidrec.stores.knn.store import KnnStore
from vidrec.stores.qdrant.edge import EdgeEngine
from vidrec.stores.qdrant.server import ServerEngine, connect
from vidrec.stores.qdrant.store import QdrantStore
from vidrec.types import Payload

StoreMaker = Callable[[Path], VectorStore]
StoreKind = Callable[[], AbstractContextManager[StoreMaker]]

LIVE_URL = os.environ.get("VIDREC_TEST_QDRANT_URL")


@dataclass(frozen=True)
class Match:
    """A candidate that can be compared."""

    id: str
    score: float
    payload: Payload


def find(
    store: VectorStore,
    vector: np.ndarray,
    *,
    k: int,
    where: Filter | None = None,
    by_video: bool = True,
    fingerprint: str | None = None,
) -> list[Match]:
    """The first matches, as the shared ranking makes them of a store's candidates."""
    found = nearest(store, vector, k, where, by_video=by_video, fingerprint=fingerprint)
    return [Match(candidate.id, candidate.score, candidate.payload) for candidate in found]


def make(store: VectorStore, fingerprint: str, dim: int) -> None:
    """Make an empty collection where none is served."""
    if store.info() is None:
        with store.rebuild(fingerprint, dim):
            pass


def drop(store: VectorStore) -> None:
    """Remove a store's collections in Qdrant, and its alias with them."""
    assert isinstance(store, QdrantStore)
    engine = store._engine
    for name in engine.collections():
        if name.startswith(f"{store.alias}."):
            engine.remove(name)


def server_store(url: str, embedder: str = "test", **changes: Any) -> QdrantStore:
    """Open a store on a server as the settings would."""
    collection = changes.pop("collection", "vidrec")
    settings = QdrantSettings(url=url, **changes)
    client, where = connect(settings, url, None)
    return QdrantStore(ServerEngine(client, where, settings), collection, embedder)


@contextmanager
def knn() -> Iterator[StoreMaker]:
    yield lambda folder: KnnStore(folder / "knn", "test")


@contextmanager
def plain() -> Iterator[StoreMaker]:
    shelf: dict[str, Any] = {}
    yield lambda folder: PlainStore(shelf, str(folder))


@contextmanager
def qdrant_memory() -> Iterator[StoreMaker]:
    client = QdrantClient(":memory:")
    closing, client.close = client.close, lambda **_: None  # type: ignore[method-assign]
    engine = ServerEngine(client, ":memory:", QdrantSettings())
    yield lambda folder: QdrantStore(engine, folder.name, "test")
    closing()


@contextmanager
def qdrant_http() -> Iterator[StoreMaker]:
    with StandinQdrant() as server:
        yield lambda folder: server_store(server.url, collection=folder.name)
        assert server.problems == []


@contextmanager
def qdrant_edge() -> Iterator[StoreMaker]:
    pytest.importorskip("qdrant_edge")
    yield lambda folder: QdrantStore(
        EdgeEngine(folder / "edge", QdrantSettings()), "vidrec", "test"
    )


@contextmanager
def qdrant_live(prefer_grpc: bool) -> Iterator[StoreMaker]:
    assert LIVE_URL
    key = os.environ.get("VIDREC_TEST_QDRANT_API_KEY")
    name = f"vidrec-test-{uuid.uuid4().hex[:12]}"
    opened: list[VectorStore] = []

    def make(folder: Path) -> VectorStore:
        secret = SecretStr(key) if key else None
        store = server_store(
            LIVE_URL or "", collection=name, api_key=secret, prefer_grpc=prefer_grpc
        )
        opened.append(store)
        return store

    yield make
    if opened:
        drop(make(Path()))


STORES: dict[str, StoreKind] = {
    "knn": knn,
    "plain": plain,
    "qdrant-memory": qdrant_memory,
    "qdrant-http": qdrant_http,
    "qdrant-edge": qdrant_edge,
}
if LIVE_URL:
    STORES["qdrant-live"] = lambda: qdrant_live(prefer_grpc=False)
    STORES["qdrant-live-grpc"] = lambda: qdrant_live(prefer_grpc=True)
