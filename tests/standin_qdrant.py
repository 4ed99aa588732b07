"""A Qdrant server for tests, over real HTTP.

It speaks the endpoints that vidrec uses: JSON becomes qdrant-client's models (which are Qdrant's
REST schema), its local engine answers, the answer becomes JSON in the server's envelope, with the
server's status codes. Every request and response is checked against Qdrant's own OpenAPI file
where that is given. Faults are switched on per route; every request is logged.

As the server, and unlike the local engine, it looks at a bounded number of points for groups,
enforces strict mode and a limit of bytes a request, knows its payload indexes, and keeps every bit
of a vector that is of unit length (the engine in qdrant-edge does; the local one scales it again).
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from qdrant_client import QdrantClient, models

from tests.qdrant_spec import SPEC, validator_of

GROUP_ROUNDS = 5


@dataclass
class Fault:
    """One way of going wrong on requests that match ``route``.

    Kinds: ``429`` (with ``Retry-After: seconds``), ``429-bare``, ``500``, ``502``, ``503``,
    ``full`` (500, no space left), ``drop`` (the connection closes unanswered), ``slow`` (answers
    after ``seconds``), ``garbage`` (200, no JSON). With ``after`` the server does its work first.
    """

    kind: str
    route: str = ""
    times: int = 1
    after: bool = False
    seconds: float = 0.0

    def strikes(self, method: str, path: str) -> bool:
        if self.times == 0 or not re.search(self.route, f"{method} {path}"):
            return False
        self.times -= 1
        return True


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Strict:
    """What a collection's strict mode allows; None is anything."""

    unindexed_filtering: bool = True
    max_query_limit: int | None = None
    upsert_max_batchsize: int | None = None
    search_allow_exact: bool = True


@dataclass
class StandinQdrant:
    """The server; use ``with StandinQdrant() as server`` and ``server.url``."""

    api_key: str | None = None
    read_only_key: str | None = None  # may ask, and may change nothing
    version: str = "1.19.0"
    max_bytes: int = 32 << 20
    validate: bool = True
    sink: bool = False  # acknowledges points without looking at them: to time a client
    strict: Strict = field(default_factory=Strict)
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)  # method, path, bytes
    problems: list[str] = field(default_factory=list)  # what the OpenAPI file does not allow
    validated: int = 0
    indexes: dict[str, dict[str, str]] = field(default_factory=dict)
    tenants: list[str] = field(default_factory=list)  # keys that keep a tenant's points together
    vectors: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # as they came

    def __enter__(self) -> StandinQdrant:
        self.engine = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.mutex = threading.RLock()
        standin = self

        class Handler(_Handler):
            server_side = standin

        self.http = _Server(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.log]

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Collect the requests of a block."""
        before, made = len(self.log), []
        yield made
        made += self.paths[before:]

    def points_in(self, alias: str) -> int:
        with self.mutex:
            return self.engine.count(alias).count

    # Answers

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Carry out one request and return its result."""
        for pattern, wanted, handler in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == wanted:
                with self.mutex, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return handler(self, *found.groups(), body)
        raise Refusal(404, "")

    def collections(self, _: Any) -> Any:
        return self.engine.get_collections()

    def collection(self, name: str, _: Any) -> Any:
        info = self.engine.get_collection(name).model_dump(exclude_none=True, mode="json")
        keys = self.indexes.get(self.real(name), {})
        info["payload_schema"] = {
            key: {"data_type": kind, "points": info["points_count"]} for key, kind in keys.items()
        }
        return info

    def create(self, name: str, body: Any) -> Any:
        asked = models.CreateCollection.model_validate(body)
        if self.engine.collection_exists(name):
            raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
        self.indexes[name], self.vectors[name] = {}, {}
        return self.engine.create_collection(
            name,
            vectors_config=asked.vectors,
            metadata=asked.metadata,
            quantization_config=asked.quantization_config,
        )

    def update(self, name: str, body: Any) -> Any:
        asked = models.UpdateCollection.model_validate(body)
        return self.engine.update_collection(name, metadata=asked.metadata)

    def drop(self, name: str, _: Any) -> Any:
        self.indexes.pop(name, None)
        if name not in [c.name for c in self.engine.get_collections().collections]:
            return False
        for alias in self.engine.get_collection_aliases(name).aliases:
            gone = models.DeleteAlias(alias_name=alias.alias_name)
            self.engine.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
        return self.engine.delete_collection(name)

    def exists(self, name: str, _: Any) -> Any:
        return {"exists": self.engine.collection_exists(name)}

    def aliases(self, _: Any) -> Any:
        return self.engine.get_aliases()

    def change_aliases(self, body: Any) -> Any:
        asked = models.ChangeAliasesOperation.model_validate(body)
        return self.engine.update_collection_aliases(asked.actions)

    def add_index(self, name: str, body: Any) -> Any:
        asked = models.CreateFieldIndex.model_validate(body)
        self.engine.get_collection(name)
        kind = asked.field_schema
        if isinstance(kind, models.KeywordIndexParams):
            self.tenants.append(asked.field_name if kind.is_tenant else "")
            kind = kind.type
        self.indexes[self.real(name)][asked.field_name] = str(getattr(kind, "value", kind))
        return _done()

    def upsert(self, name: str, body: Any) -> Any:
        points = models.PointsList.model_validate(body).points
        most = self.strict.upsert_max_batchsize
        if most is not None and len(points) > most:
            raise Refusal(
                400,
                f"Forbidden: Upsert limit exceeded: {len(points)} points, at most {most}. "
                "Help: Reduce the batch size.",
            )
        self.engine.upsert(name, points)
        self.vectors[self.real(name)].update({str(p.id): list(p.vector) for p in points})
        return _done()

    def delete(self, name: str, body: Any) -> Any:
        self.engine.delete(name, models.PointIdsList.model_validate(body).points)
        return _done()

    def retrieve(self, name: str, body: Any) -> Any:
        asked = models.PointRequest.model_validate(body)
        found = self.engine.retrieve(
            name, asked.ids, with_payload=asked.with_payload or False, with_vectors=False
        )
        if asked.with_vector:
            kept = self.vectors[self.real(name)]
            found = [p.model_copy(update={"vector": kept[str(p.id)]}) for p in found]
        return found

    def scroll(self, name: str, body: Any) -> Any:
        asked = models.ScrollRequest.model_validate(body)
        points, after = self.engine.scroll(
            name, limit=asked.limit or 10, offset=asked.offset, scroll_filter=asked.filter,
            with_payload=_wanted_payload(asked.with_payload),
            with_vectors=asked.with_vector or False,
        )  # fmt: skip
        return {"points": [_plain(p) for p in points], "next_page_offset": after}

    def count(self, name: str, body: Any) -> Any:
        asked = models.CountRequest.model_validate(body)
        self._check_filter(name, asked.filter)
        return self.engine.count(name, count_filter=asked.filter, exact=True)

    def query(self, name: str, body: Any) -> Any:
        asked = models.QueryRequest.model_validate(body)
        self._check_search(name, asked)
        return self._query(name, asked, asked.filter, asked.limit or 10)

    def _query(self, name: str, asked: Any, where: Any, limit: int) -> Any:
        found = self.engine.query_points(
            name, query=asked.query, limit=limit, query_filter=where, with_payload=True
        )
        kept = self.vectors[self.real(name)] if asked.with_vector else {}
        found.points = [
            p.model_copy(update={"vector": kept.get(str(p.id), p.vector)}) for p in found.points
        ]
        return found

    def facet(self, name: str, body: Any) -> Any:
        """As the server does, it wants the key indexed, and by texts."""
        asked = models.FacetRequest.model_validate(body)
        if self.indexes[self.real(name)].get(asked.key.strip('"')) != "keyword":
            raise Refusal(400, f"Bad request: No appropriate index for faceting: `{asked.key}`")
        return self.engine.facet(name, asked.key, limit=asked.limit or 10, exact=True)

    def query_groups(self, name: str, body: Any) -> Any:
        """As lib/collection/src/grouping of the server: five looks, then the groups are filled."""
        asked = models.QueryGroupsRequest.model_validate(body)
        self._check_search(name, asked)
        limit, size, key = asked.limit or 10, asked.group_size or 3, asked.group_by
        groups: dict[Any, list[Any]] = {}
        for _ in range(GROUP_ROUNDS):
            full = [value for value, hits in groups.items() if len(hits) >= size]
            without: list[Any] = [models.FieldCondition(key=key, match=models.MatchAny(any=full))]
            seen = [hit.id for hits in groups.values() for hit in hits]
            without.append(models.HasIdCondition(has_id=seen))
            where = models.Filter(must=[asked.filter] if asked.filter else [], must_not=without)
            found = self._query(name, asked, where, limit * size).points
            for hit in found:
                groups.setdefault(hit.payload[key], []).append(hit)
            if not found or sum(len(hits) >= size for hits in groups.values()) >= limit:
                break
        best = sorted(groups.items(), key=lambda item: -item[1][0].score)[:limit]
        result = []
        for value, hits in best:
            if len(hits) < size:
                inside = models.FieldCondition(key=key, match=models.MatchValue(value=value))
                where = models.Filter(must=[inside, *([asked.filter] if asked.filter else [])])
                hits = self._query(name, asked, where, size).points
            result.append({"id": value, "hits": [_plain(hit) for hit in hits[:size]]})
        return {"groups": result}

    def _check_search(self, name: str, asked: Any) -> None:
        most = self.strict.max_query_limit
        if most is not None and (asked.limit or 10) > most:
            raise Refusal(400, f'Forbidden: Limit exceeded {asked.limit} > {most} for "limit"')
        if asked.params and asked.params.exact and not self.strict.search_allow_exact:
            raise Refusal(400, "Forbidden: Exact search is not allowed. Help: Disable exact")
        self._check_filter(name, asked.filter)

    def _check_filter(self, name: str, where: Any) -> None:
        if self.strict.unindexed_filtering or where is None:
            return
        for key, kind in _wanted_indexes(_plain(where)):
            if self.indexes[self.real(name)].get(key.strip('"')) != kind:
                raise Refusal(
                    400,
                    f'Bad request: Index required but not found for "{key}" of one of the '
                    f"following types: [{kind}]. Help: Create an index for this key or use a "
                    "different filter.",
                )

    def real(self, name: str) -> str:
        for alias in self.engine.get_aliases().aliases:
            if alias.alias_name == name:
                return str(alias.collection_name)
        return name


C = "/collections/([^/]+)"
WRITES = ("/collections/aliases", "/points/delete")
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("/collections", "GET", StandinQdrant.collections),
    ("/collections/aliases", "POST", StandinQdrant.change_aliases),
    ("/aliases", "GET", StandinQdrant.aliases),
    (C, "GET", StandinQdrant.collection),
    (f"{C}/facet", "POST", StandinQdrant.facet),
    (C, "PUT", StandinQdrant.create),
    (C, "PATCH", StandinQdrant.update),
    (C, "DELETE", StandinQdrant.drop),
    (f"{C}/exists", "GET", StandinQdrant.exists),
    (f"{C}/index", "PUT", StandinQdrant.add_index),
    (f"{C}/points", "PUT", StandinQdrant.upsert),
    (f"{C}/points", "POST", StandinQdrant.retrieve),
    (f"{C}/points/delete", "POST", StandinQdrant.delete),
    (f"{C}/points/scroll", "POST", StandinQdrant.scroll),
    (f"{C}/points/count", "POST", StandinQdrant.count),
    (f"{C}/points/query", "POST", StandinQdrant.query),
    (f"{C}/points/query/groups", "POST", StandinQdrant.query_groups),
]


def _wanted_indexes(where: Any) -> Iterator[tuple[str, str]]:
    """Yield the key and kind of index of every condition of a filter."""
    if isinstance(where, list):
        for part in where:
            yield from _wanted_indexes(part)
    elif isinstance(where, dict) and "key" in where:
        match = where.get("match")
        if match is None:
            yield where["key"], "float"
        else:
            yield where["key"], "bool" if isinstance(match.get("value"), bool) else "keyword"
    elif isinstance(where, dict):
        for name in ("must", "should", "must_not"):
            yield from _wanted_indexes(where.get(name) or [])


def _wanted_payload(asked: Any) -> Any:
    return True if asked is None else asked


def _done() -> Any:
    return {"operation_id": 0, "status": "completed"}


def _plain(value: Any) -> Any:
    """Return a model, or a list of them, as JSON values without nulls."""
    if isinstance(value, BaseModel):
        return {
            name: part
            for name, part in value.model_dump(mode="json", by_alias=True).items()
            if part is not None
        }
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that was killed
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_side: StandinQdrant
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        server, path = self.server_side, urlsplit(self.path).path
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        server.log.append((self.command, path, length))
        fault = next((f for f in server.faults if f.strikes(self.command, path)), None)
        if fault is not None and not fault.after and not self.fail(fault):
            return
        status, answer = self.work(path, raw)
        if fault is not None and fault.after and not self.fail(fault):
            return
        self.reply(status, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

    def work(self, path: str, raw: bytes) -> tuple[int, Any]:
        server, started = self.server_side, time.monotonic()
        key = self.headers.get("api-key")
        if key is not None and key == server.read_only_key:
            if self.command in ("PUT", "PATCH", "DELETE") or path.endswith(WRITES):
                return 403, _error("Forbidden: Global manage access is required")
        elif server.api_key is not None and key != server.api_key:
            return 401, b"Invalid API key or JWT"
        if len(raw) > server.max_bytes:
            return 413, _error(
                f"Payload error: JSON payload ({len(raw)} bytes) is larger than allowed "
                f"(limit: {server.max_bytes} bytes)."
            )
        if path == "/":
            return 200, {"title": "qdrant", "version": server.version, "commit": "0" * 40}
        if server.sink and self.command == "PUT" and path.endswith("/points"):
            return 200, {"result": _done(), "status": "ok", "time": 0.0}
        try:
            body = json.loads(raw) if raw else None
            self.check(path, "requestBody", body)
            result = _plain(server.answer(self.command, path, body))
        except Refusal as refusal:
            return refusal.status, _error(str(refusal)) if str(refusal) else b""
        except ValueError as exc:
            missing = re.search(r"Collection (\S+) not found", str(exc))
            if missing:
                return 404, _error(f"Not found: Collection `{missing[1]}` doesn't exist!")
            return 400, _error(f"Wrong input: {exc}")
        answer = {"result": result, "status": "ok", "time": time.monotonic() - started}
        self.check(path, "responses", json.loads(json.dumps(answer)))
        return 200, answer

    def check(self, path: str, part: str, value: Any) -> None:
        server = self.server_side
        if not server.validate or not SPEC.is_file() or value is None:
            return
        validator = validator_of(self.command, path, part)
        server.validated += 1
        server.problems += [
            f"{self.command} {path} {part}: {error.message[:300]}"
            for error in validator.iter_errors(value)
        ]

    def fail(self, fault: Fault) -> bool:
        """Let the fault happen; return whether the request goes on."""
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return True
        if fault.kind == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault.kind == "garbage":
            self.reply(200, b"<html>welcome to nginx</html>")
        elif fault.kind == "429":
            after = {"Retry-After": str(int(fault.seconds))}
            self.reply(429, _error("Rate limiting exceeded: Write rate limit exceeded"), after)
        elif fault.kind == "full":
            says = "Service internal error: No space left on device (os error 28)"
            self.reply(500, _error(says))
        else:
            self.reply(int(fault.kind.removesuffix("-bare")), _error("Service unavailable"))
        return False

    def reply(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client is gone

    def log_message(self, format: str, *args: Any) -> None:
        return None


def _error(message: str) -> Any:
    return {"status": {"error": message}, "time": 0.0}
