"""The Qdrant store: a cloud cluster or server over the network, or Qdrant's engine in a folder.

store.py      what vidrec makes of Qdrant: names, aliases, rebuilds, the shared ranking
engine.py     the few operations it needs, whoever carries them out
server.py     ... qdrant-client: cloud, server, and its in-memory mode
edge.py       ... qdrant-edge: Qdrant's engine inside this process, in a folder
failures.py   what can go wrong with a server, as one line each; waiting and trying again
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vidrec.errors import ConfigError

if TYPE_CHECKING:
    from vidrec.config import Settings
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

    given = settings.qdrant
    url = given.url
    if url is None and given.host is None and given.path is None:
        url = os.environ.get("QDRANT_URL") or None
    named = [name for name, value in
             (("url", url), ("host", given.host), ("path", given.path)) if value]  # fmt: skip
    if len(named) != 1:
        raise ConfigError(
            "[qdrant] needs one of url, host and path (or QDRANT_URL in the environment); "
            f"given: {', '.join(named) or 'none'}"
        )
    if given.path is not None:
        from vidrec.stores.qdrant.edge import EdgeEngine

        return QdrantStore(EdgeEngine(given.path, given), given.collection, settings.embedder.name)
    from vidrec.stores.qdrant.server import ServerEngine, connect

    client, where = connect(given, url, os.environ.get("QDRANT_API_KEY"))
    return QdrantStore(ServerEngine(client, where, given), given.collection, settings.embedder.name)
