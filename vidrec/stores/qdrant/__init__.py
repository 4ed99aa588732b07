"""The Qdrant store: a cloud cluster or server over the network, or Qdrant's engine in a folder.

store.py      what vidrec makes of Qdrant: names, aliases, rebuilds, the shared ranking
writer.py     ... writing its points
reading.py    any collection's points, whoever made them, for `vidrec import`
engine.py     the few operations it needs, whoever carries them out
filters.py    filters in Qdrant's words, and only by what a collection's keys allow
server.py     ... qdrant-client: cloud, server, and its in-memory mode
edge.py       ... qdrant-edge: Qdrant's engine inside this process, in a folder
failures.py   what can go wrong with a server, as one line each; waiting and trying again
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from vidrec.errors import ConfigError
from vidrec.sections import clean_key

if TYPE_CHECKING:
    from vidrec.config import Settings
    from vidrec.stores.qdrant.engine import Engine
    from vidrec.stores.qdrant.store import QdrantStore


def open_qdrant(settings: Settings) -> QdrantStore:
    """Return the collection of the settings' embedder in the settings' Qdrant.

    Without url, host and path, ``QDRANT_URL`` and ``QDRANT_API_KEY`` are looked at, the names
    that Qdrant's own examples use. Nothing is sent yet.

    Raises:
        ConfigError: the settings name no Qdrant, or more than one.
        StoreError: the folder cannot be opened, or qdrant-edge-py is missing.
    """
    from vidrec.stores.qdrant.store import QdrantStore

    given, engine = settings.qdrant, _open_engine(settings)
    own = given.path is not None
    return QdrantStore(
        engine, given.collection, settings.embedder.name,
        tenant=given.tenant or "", shared=not own, paths=own or given.local_paths,
    )  # fmt: skip


def read_collection(
    settings: Settings, name: str, vector: str | None
) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Yield the points of any collection, as ``reading.points_of`` does.

    ``vector`` chooses among vectors that have names.

    Raises:
        ConfigError: the settings name no Qdrant, or more than one.
        StoreError: there is no such collection, or it has vectors of several names.
    """
    from vidrec.stores.qdrant.reading import points_of

    with closing(_open_engine(settings)) as engine:
        yield from points_of(engine, name, vector)


def _open_engine(settings: Settings) -> Engine:
    given = settings.qdrant
    url = given.url
    if url is None and given.host is None and given.path is None:
        url = os.environ.get("QDRANT_URL", "").strip() or None
    named = [name for name, value in
             (("url", url), ("host", given.host), ("path", given.path)) if value]  # fmt: skip
    if len(named) != 1:
        raise ConfigError(
            "[qdrant] needs one of url, host and path (or QDRANT_URL in the environment); "
            f"given: {', '.join(named) or 'none'}"
        )
    if given.path is not None:
        from vidrec.stores.qdrant.edge import EdgeEngine

        return EdgeEngine(given.path, given)
    from vidrec.stores.qdrant.server import ServerEngine, connect

    client, where = connect(given, url, _key_in_environment())
    return ServerEngine(client, where, given)


def _key_in_environment() -> str | None:
    """Return the key under the name that Qdrant's own tools know.

    Raises:
        ConfigError: it holds what no key does.
    """
    try:
        key = clean_key(SecretStr(os.environ.get("QDRANT_API_KEY", "")))
    except ValueError as exc:
        raise ConfigError(f"QDRANT_API_KEY: {exc}") from None
    return key.get_secret_value() or None
