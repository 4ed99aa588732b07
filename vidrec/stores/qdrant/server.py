"""Qdrant over the network by qdrant-client: a cloud cluster, a server, or its in-memory mode."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from vidrec.conditions import Filter
from vidrec.errors import ConfigError, StoreError
from vidrec.reach import reach
from vidrec.stores.qdrant.engine import Described, Engine, KeyKind, RefusedError, Stored
from vidrec.stores.qdrant.failures import Patience, is_missing
from vidrec.stores.qdrant.filters import conditions, path, quantization, search_params
from vidrec.vectors import margin

if TYPE_CHECKING:
    from vidrec.sections import QdrantSettings
    from vidrec.types import Vector

P = ParamSpec("P")
T = TypeVar("T")

HTTP_PORT = 6333
# Hits of one video in the first answer: more are asked for only where these are equals. A vector
# is 10 kB of JSON at 512 numbers, so the answer to ten videos has about 480 kB at most.
HITS_PER_VIDEO = 3
MOST_VALUES = 1_000_000
ASKING_SECONDS, WRITING_SECONDS = 20.0, 180.0
MIN_SERVER = (1, 16)  # the first that keeps a collection's metadata


def connect(
    settings: QdrantSettings, url: str | None, fallback_key: str | None
) -> tuple[QdrantClient, str]:
    """Return a client and the address to name in messages; nothing is sent yet.

    Raises:
        ConfigError: the address cannot be read.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else fallback_key or None
    options: dict[str, Any] = {
        "api_key": key,
        "timeout": settings.timeout,
        "prefer_grpc": settings.prefer_grpc,
        "check_compatibility": False,
        "port": settings.port or HTTP_PORT,
    }
    if url is not None:
        options["url"] = url = url if "//" in url else f"http://{url}"
        where = _address(url, options["port"])
    else:
        if re.search(r"[/@?#\s]", settings.host or ""):
            raise ConfigError("[qdrant] host is a name or number alone: a URL belongs to url")
        local = settings.host in ("localhost", "127.0.0.1", "::1")
        options |= {"host": settings.host, "https": key is not None and not local}
        where = f"{'https' if options['https'] else 'http'}://{settings.host}:{options['port']}"
    with warnings.catch_warnings():
        # It warns of keys over plain HTTP, also to localhost; the guide says when to use https.
        warnings.simplefilter("ignore")
        try:
            return QdrantClient(**options), where
        except (ValueError, TypeError) as exc:
            raise ConfigError(f"[qdrant] cannot use {where}: {exc}") from exc


def _address(url: str, port: int) -> str:
    """Return what of a URL may be told: scheme, host and port."""
    rule = "[qdrant] url must look like https://HOST[:6333], the key belongs to api_key."
    try:
        parts = urlsplit(url)
        port = parts.port or port
    except ValueError as exc:
        raise ConfigError(f"{rule} {exc}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ConfigError(f"{rule} Received: {parts.scheme}://{parts.hostname or ''}")
    return f"{parts.scheme}://{parts.hostname}:{port}"


class ServerEngine(Engine):
    """The operations by requests. Each is tried again where that can help."""

    page: ClassVar = 1000
    shaping: ClassVar = {"quantization", "shard_number", "replication_factor", "on_disk"}

    def __init__(self, client: QdrantClient, place: str, settings: QdrantSettings) -> None:
        super().__init__(place, settings)
        self._client = client
        self._patience = Patience(place)

    # Collections and aliases

    def describe(self, name: str) -> Described | None:
        try:
            config = self._ask(self._client.get_collection, name).config
        except StoreError as exc:
            if is_missing(exc):
                return None
            raise
        vectors = config.params.vectors
        if isinstance(vectors, models.VectorParams):
            return Described(vectors.size, config.metadata or {})
        return Described(0, config.metadata or {}, tuple(vectors or ()))

    def collections(self) -> list[str]:
        return [c.name for c in self._ask(self._client.get_collections).collections]

    def target(self, alias: str) -> str | None:
        aliases = self._ask(self._client.get_aliases).aliases
        return next((a.collection_name for a in aliases if a.alias_name == alias), None)

    def make(self, name: str, dim: int, metadata: Mapping[str, Any]) -> None:
        self._check_version()
        settings = self._settings
        on_disk = settings.on_disk or None
        try:
            self._write(
                self._client.create_collection,
                name,
                vectors_config=models.VectorParams(
                    size=dim, distance=models.Distance.COSINE, on_disk=on_disk
                ),
                shard_number=settings.shard_number,
                replication_factor=settings.replication_factor,
                quantization_config=quantization(models, settings.quantization),
                on_disk_payload=on_disk,
                metadata=dict(metadata),
            )
        except RefusedError:
            # A request that was cut off may have acted: then the second try finds our own.
            found = self.describe(name)
            if found is None or found.metadata != metadata:
                raise

    def _check_version(self) -> None:
        version = self._ask(self._client.info).version
        numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
        if numbers < MIN_SERVER:
            raise StoreError(
                f"Qdrant at {self.place} is version {version}: upgrade it to "
                f"{'.'.join(map(str, MIN_SERVER))} or newer"
            )

    def note(self, name: str, metadata: Mapping[str, Any]) -> None:
        self._write(self._client.update_collection, name, metadata=dict(metadata))

    def add_key(self, name: str, key: str, kind: KeyKind) -> None:
        schema: Any = (
            models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            if kind == "tenant"
            else models.PayloadSchemaType(kind)
        )
        self._write(self._client.create_payload_index, name, path(key), schema)

    def indexed(self, name: str) -> dict[str, str]:
        schema = self._ask(self._client.get_collection, name).payload_schema
        return {key.strip('"'): info.data_type.value for key, info in (schema or {}).items()}

    def remove(self, name: str) -> None:
        self._write(self._client.delete_collection, name)

    def serve(self, alias: str, name: str) -> None:
        actions: list[Any] = []
        if self.target(alias) is not None:
            delete = models.DeleteAlias(alias_name=alias)
            actions.append(models.DeleteAliasOperation(delete_alias=delete))
        create = models.CreateAlias(collection_name=name, alias_name=alias)
        actions.append(models.CreateAliasOperation(create_alias=create))
        self._write(self._client.update_collection_aliases, actions)

    # Points

    def write(self, name: str, points: Sequence[Stored]) -> None:
        rows = [
            models.PointStruct(
                id=point.id,
                vector=point.numbers,
                payload=dict(point.payload),
            )
            for point in points
        ]
        self._write(self._client.upsert, name, rows)

    def delete(self, name: str, ids: Sequence[str]) -> None:
        self._write(self._client.delete, name, list(ids))

    def nearest(
        self, name: str, vector: Vector, limit: int, where: Filter, *, by_video: bool
    ) -> tuple[list[Stored], float]:
        asked: dict[str, Any] = {
            "query": vector.tolist(),
            "limit": limit,
            "query_filter": conditions(models, where),
            "search_params": search_params(models, self._settings),
            "with_payload": True,
            "with_vectors": True,
        }
        if not by_video:
            points = self._ask(self._client.query_points, name, **asked).points
            hits = [self._stored(point) for point in points]
            return hits, hits[-1].score if len(hits) == limit else -inf
        size = max(HITS_PER_VIDEO, limit // 8)
        asked |= {"group_by": "video_id", "group_size": size}
        groups = self._ask(self._client.query_points_groups, name, **asked).groups
        videos = [[self._stored(point) for point in group.hits] for group in groups]
        return [hit for hits in videos for hit in hits], _best_left(
            videos, limit, size, len(vector)
        )

    def values(self, name: str, key: str) -> list[Any]:
        try:
            found = self._ask(self._client.facet, name, path(key), limit=MOST_VALUES, exact=True)
        except RefusedError:  # its index is of numbers
            return []
        return [hit.value for hit in found.hits if isinstance(hit.value, str)]

    def fetch(
        self, name: str, ids: Sequence[str], *, payload: bool, vector: bool, using: str = ""
    ) -> list[Stored]:
        # Collections that others made may number their points.
        wanted = [int(text) if text.isdigit() else text for text in ids]
        asked = [using] if vector and using else vector
        records = self._ask(
            self._client.retrieve, name, wanted, with_payload=payload, with_vectors=asked
        )
        return [self._stored(record, using) for record in records]

    def _page(
        self, name: str, where: Filter, payload: list[str] | bool, offset: Any, limit: int
    ) -> tuple[Sequence[Any], Any]:
        return self._ask(
            self._client.scroll, name, limit=limit, offset=offset, with_payload=payload,
            scroll_filter=conditions(models, where),
        )  # fmt: skip

    def count(self, name: str, where: Filter, having: str | None = None) -> int:
        wanted = conditions(models, where, having)
        found = self._ask(self._client.count, name, count_filter=wanted, exact=True)
        return int(found.count)

    def close(self) -> None:
        self._client.close()

    def _ask(self, request: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return self._within(ASKING_SECONDS, partial(request, *given, **named))

    def _write(self, request: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return self._within(WRITING_SECONDS, partial(request, *given, **named))

    def _within(self, seconds: float, request: Callable[[], T]) -> T:
        """Make a request; the client warns of what only its in-memory mode lacks."""

        def quiet() -> T:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return request()

        self._reach()
        return self._patience(quiet, seconds)

    def _reach(self) -> None:
        """Connect before the first answer, so that a wrong address is told at once.

        Raises:
            StoreError: nothing answers there.
        """
        http = self.place.startswith("http") and not self._settings.prefer_grpc
        if not http or self._patience.answered:
            return
        try:
            reach(self.place)
        except (OSError, ValueError) as exc:
            raise StoreError(
                f"cannot reach Qdrant at {self.place} ({exc}): is it running, and are url and "
                "port right?"
            ) from exc


def _best_left(videos: Sequence[Sequence[Stored]], limit: int, size: int, dim: int) -> float:
    """Return the best score that a point may have which is in no group, and may matter.

    The server looks at a bounded number of points. It has seen them all for certain only if there
    are fewer videos than it was asked for and no video was cut. Of a video that was cut, what is
    left matters where it may be as good as its best hit: a still picture has many equal points.
    """
    cut = [hits for hits in videos if len(hits) >= size]
    if len(videos) < limit and not cut:
        return -inf
    best = min((hits[0].score for hits in videos), default=-inf)
    near = [h[-1].score for h in cut if h[-1].score >= h[0].score - 2 * margin(dim)]
    return max([best, *near])
