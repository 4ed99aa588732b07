"""Qdrant's own engine in this process, in a folder, by qdrant-edge.

    <folder>/collections/<name>/vidrec.json    dimension and metadata; written last
    <folder>/collections/<name>/shard/         the engine's files
    <folder>/aliases/<alias>                   the name of a collection; replaced atomically

The engine locks a collection for one process at a time, readers too: another waits a little. The
vectors keep every bit, as in the server. There is no grouping; hits are grouped here. Conditions
on true and false never match (qdrant-edge-py 0.9 takes them for 1 and 0), so these are stored as
texts that no payload has.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.conditions import Filter
from vidrec.errors import LockedError, StoreError
from vidrec.files import expanded, parsed_json, writing
from vidrec.stores.qdrant.engine import Described, Engine, KeyKind, RefusedError, Stored
from vidrec.stores.qdrant.filters import conditions, path, quantization, search_params

if TYPE_CHECKING:
    from vidrec.sections import QdrantSettings
    from vidrec.types import Vector

META = "vidrec.json"
LOCK_SECONDS = 10.0
HITS_A_VIDEO = 8
# Making the index of a key costs about 0.1 s; other conditions are read from the payloads.
INDEXED = ("video_id", "scope")
TRUTHS = {True: "\x00true", False: "\x00false"}


class EdgeEngine(Engine):
    """The operations on a folder."""

    page: ClassVar = 4096
    shaping: ClassVar = {"quantization", "on_disk"}
    meant: ClassVar = {text: truth for truth, text in TRUTHS.items()}

    def __init__(self, folder: Path, settings: QdrantSettings) -> None:
        """Name the folder; it is made with the first collection."""
        import qdrant_edge

        self._edge: Any = qdrant_edge
        self._folder = expanded(folder).absolute()
        super().__init__(str(self._folder), settings)
        self._open: dict[str, Any] = {}
        self._written: set[str] = set()

    # Collections and aliases

    def describe(self, name: str) -> Described | None:
        real = self._real(name)
        found = _read_json(self._collection(real) / META)
        return None if found is None else Described(found["dim"], found["metadata"])

    def collections(self) -> list[str]:
        folder = self._folder / "collections"
        names = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
        for name in names:
            if not (self._collection(name) / META).is_file():
                self.remove(name)  # its making was cut off
        return [name for name in names if self._collection(name).is_dir()]

    def target(self, alias: str) -> str | None:
        try:
            return (self._folder / "aliases" / alias).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreError(f"cannot read {self.place}: {exc}") from exc

    def make(self, name: str, dim: int, metadata: Mapping[str, Any]) -> None:
        edge, settings = self._edge, self._settings
        with self._failing():
            (self._collection(name) / "shard").mkdir(parents=True)
            config = edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(
                    size=dim, distance=edge.Distance.Cosine, on_disk=settings.on_disk or None
                ),
                quantization_config=quantization(edge, settings.quantization),
            )
            self._open[name] = edge.EdgeShard.create(self._shard_path(name), config)
            about = {"dim": dim, "metadata": dict(metadata)}
            _write_text(self._collection(name) / META, json.dumps(about, indent=1))

    def note(self, name: str, metadata: Mapping[str, Any]) -> None:
        path = self._collection(name) / META
        with self._failing():
            found = _read_json(path)
            found["metadata"].update(metadata)
            _write_text(path, json.dumps(found, indent=1))

    def add_key(self, name: str, key: str, kind: KeyKind) -> None:
        if key not in INDEXED:
            return
        schema = getattr(self._edge.PayloadSchemaType, kind.capitalize())
        with self._shard(name) as shard:
            if key not in shard.info().payload_schema:
                shard.update(self._edge.UpdateOperation.create_field_index(path(key), schema))

    def indexed(self, name: str) -> dict[str, str]:
        return dict.fromkeys(INDEXED, "keyword")

    def remove(self, name: str) -> None:
        self._close(name)
        with self._failing():
            folder = self._collection(name)
            if folder.is_dir():
                (folder / META).unlink(missing_ok=True)
                shutil.rmtree(folder)

    def serve(self, alias: str, name: str) -> None:
        with self._shard(name) as shard:
            shard.flush()
            if not self._settings.exact:
                shard.optimize()
        with self._failing():
            (self._folder / "aliases").mkdir(exist_ok=True)
            _write_text(self._folder / "aliases" / alias, name)

    # Points

    def write(self, name: str, points: Sequence[Stored]) -> None:
        rows = [
            self._edge.Point(point.id, point.numbers, _encoded(point.payload)) for point in points
        ]
        with self._shard(name) as shard:
            shard.update(self._edge.UpdateOperation.upsert_points(rows))
        self._written.add(self._real(name))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        with self._shard(name) as shard:
            shard.update(self._edge.UpdateOperation.delete_points(list(ids)))
        self._written.add(self._real(name))

    def nearest(
        self, name: str, vector: Vector, limit: int, where: Filter, *, by_video: bool
    ) -> tuple[list[Stored], float]:
        edge = self._edge
        limit *= HITS_A_VIDEO if by_video else 1
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist()),
            filter=conditions(edge, _encoded_filter(where)),
            params=search_params(edge, self._settings),
            with_payload=True,
            with_vector=True,
        )
        with self._shard(name) as shard:
            hits = [self._stored(point) for point in shard.query(request)]
        return hits, hits[-1].score if len(hits) == limit else -inf

    def values(self, name: str, key: str) -> list[Any]:
        found = (point.payload.get(key) for point in self.scan(name, Filter(), [key]))
        return list(dict.fromkeys(text for text in found if isinstance(text, str)))

    def fetch(
        self, name: str, ids: Sequence[str], *, payload: bool, vector: bool, using: str = ""
    ) -> list[Stored]:
        with self._shard(name) as shard:
            records = shard.retrieve(list(ids), with_payload=payload, with_vector=vector)
        return [self._stored(record) for record in records]

    def _page(
        self, name: str, where: Filter, payload: list[str] | bool, offset: Any, limit: int
    ) -> tuple[Sequence[Any], Any]:
        if isinstance(payload, list):
            payload = [path(key) for key in payload]
        request = self._edge.ScrollRequest(
            offset=offset, limit=limit, filter=conditions(self._edge, _encoded_filter(where)),
            with_payload=payload, with_vector=False,
        )  # fmt: skip
        with self._shard(name) as shard:
            page: tuple[Sequence[Any], Any] = shard.scroll(request)
        return page

    def count(self, name: str, where: Filter, having: str | None = None) -> int:
        edge = self._edge
        wanted = conditions(edge, _encoded_filter(where), having)
        with self._shard(name) as shard:
            return int(shard.count(edge.CountRequest(exact=True, filter=wanted)))

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)

    # How

    def _collection(self, name: str) -> Path:
        return self._folder / "collections" / name

    def _shard_path(self, name: str) -> str:
        return str(self._collection(name) / "shard")

    def _real(self, name: str) -> str:
        return self.target(name) or name

    @contextmanager
    def _shard(self, name: str) -> Iterator[Any]:
        """Open a collection, or use it where it is open."""
        real = self._real(name)
        with self._failing():
            if real not in self._open:
                if not (self._collection(real) / META).is_file():
                    raise RefusedError(f"no collection {name} in {self.place}")
                self._open[real] = self._load(real)
            yield self._open[real]

    def _load(self, name: str) -> Any:
        started = time.monotonic()
        while True:
            try:
                return self._edge.EdgeShard.load(self._shard_path(name))
            except Exception as exc:  # the engine has no finer class
                if "WouldBlock" not in str(exc):
                    raise
                if time.monotonic() - started > LOCK_SECONDS:
                    raise LockedError(
                        f"another process uses the Qdrant folder {self.place}: wait for it, or "
                        "use a server, which many may ask at once"
                    ) from exc
                time.sleep(0.05)

    def _close(self, name: str) -> None:
        shard = self._open.pop(name, None)
        if shard is not None:
            with self._failing():
                if name in self._written:
                    shard.flush()
                shard.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn what the engine and the system raise into a StoreError."""
        try:
            yield
        except (StoreError, LockedError):
            raise
        except OSError as exc:
            raise StoreError(f"cannot use the Qdrant folder {self.place}: {exc}") from exc
        except Exception as exc:  # the engine raises Exception itself
            text = " ".join(str(exc).split())[:300]
            kind = RefusedError if "error: expected" in text else StoreError
            raise kind(f"Qdrant's engine failed in {self.place}: {text}") from exc


def _encoded(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: TRUTHS[value] if isinstance(value, bool) else value for key, value in payload.items()
    }


def _encoded_filter(where: Filter) -> Filter:
    """Conditions on true and false, as they are stored."""
    encoded = []
    for condition in where.conditions:
        values = tuple(TRUTHS[v] if isinstance(v, bool) else v for v in condition.values)
        equal = condition.op in ("=", "!=", "in")
        encoded.append(replace(condition, value=values) if equal else condition)
    return replace(where, conditions=tuple(encoded))


def _read_json(path: Path) -> Any:
    try:
        return parsed_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        raise StoreError(f"cannot read {path}: {exc}") from exc


def _write_text(path: Path, text: str) -> None:
    with writing(path) as draft:
        draft.write_text(text, encoding="utf-8")
