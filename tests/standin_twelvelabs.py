"""A Twelve Labs embed service for tests, over real HTTP.

Built to the published behaviour of `/v1.3/embed-v2`, `/embed-v2/tasks`, `/assets` and the older
`/embed`: status codes, both error bodies, asynchronous tasks, results that expire after seven
days, vectors that depend on content and model. It fetches the video it is pointed at, as the
service does. Faults are switched on per route; every request is logged for assertions.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import random
import re
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av

from tests.standin_checks import (
    Logged,
    Refusal,
    check_video,
    dimension_of,
    direction_of,
    epoch,
    form_fields,
    json_fields,
    model_of,
    stamp,
)
from tests.standin_faults import RESULT_FAULTS, Fault

PREFIX = "/v1.3"
WEEK = 7 * 24 * 3600.0


@dataclass
class Task:
    id: str
    request: dict[str, Any]
    created_at: float
    source: str
    filename: str
    content: bytes
    duration: float
    polls_left: int
    title: str = ""
    fault: str | None = None
    polls: int = 0


@dataclass
class TwelveLabsStandIn:
    """Use as a context manager; ``url`` is its base URL."""

    key: str = "tlk_TESTKEY0123456789"
    # Polls that answer "processing" before a task is ready.
    polls: int = 1
    # Refuse what lies outside the service's limits at creation.
    strict_media: bool = True
    # Of which tasks the list tells what they read: all, ready, or none; so do answers of tasks.
    tells: str = "all"
    # How many seconds after its creation a task is listed.
    lists_after: float = 0.0
    # Sent with every answer.
    headers: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    tasks: dict[str, Task] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[Logged] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> TwelveLabsStandIn:
        self.lock = threading.RLock()
        self._offset = 0.0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.standin = self
        self.url = f"http://127.0.0.1:{self._server.server_port}{PREFIX}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def now(self) -> float:
        return self.clock() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the server's clock: results expire after a week."""
        self._offset += seconds

    def fault(self, kind: str, route: str = "", **changes: Any) -> Fault:
        fault = Fault(kind, route, **changes)
        self.faults.append(fault)
        return fault

    def calls(self, method: str, pattern: str, status: int | None = None) -> list[Logged]:
        """The logged requests of a method whose path matches."""
        return [
            entry
            for entry in list(self.log)
            if entry.method == method
            and re.search(pattern, entry.path)
            and (status is None or entry.status == status)
        ]

    def created(self) -> dict[str, int]:
        """How many tasks exist for each content (SHA-256 of the bytes)."""
        counts: dict[str, int] = {}
        for task in self.tasks.values():
            digest = hashlib.sha256(task.content).hexdigest()
            counts[digest] = counts.get(digest, 0) + 1
        return counts

    # Routes: each returns (status, body)

    def answer(self, logged: Logged, body: bytes) -> tuple[int, Any]:
        path = logged.path
        if logged.headers.get("x-api-key") != self.key:
            raise Refusal(401, "api_key_invalid", "The API key you provided is invalid.")
        if path == "/embed-v2" and logged.method == "POST":
            return 200, self._sync(json_fields(logged))
        if path == "/embed-v2/tasks" and logged.method == "POST":
            return 202, self._create(json_fields(logged))
        if path == "/embed-v2/tasks":
            return 200, self._list(logged.fields)
        if found := re.fullmatch(r"/embed-v2/tasks/([^/]+)", path):
            return 200, self._retrieve(found[1])
        if path == "/assets" and logged.method == "GET":
            return 200, self._list_assets(logged.fields)
        if path == "/assets" and logged.method == "POST":
            return 201, self._asset(form_fields(logged, body))
        if found := re.fullmatch(r"/assets/([^/]+)", path):
            return self._one_asset(logged.method, found[1])
        if path == "/embed":
            return 200, self._embed_v1(form_fields(logged, body))
        raise Refusal(404, "not_found", f"no route {logged.method} {path}")

    def _sync(self, request: dict[str, Any]) -> dict[str, Any]:
        model = model_of(request)
        kind = request.get("input_type")
        if model == "marengo3.5" and kind != "multi_input":
            raise Refusal(
                400, "parameter_invalid", "marengo3.5 takes input_type multi_input only", True
            )
        dim = dimension_of(request, model)
        source = request.get(str(kind)) or {}
        if kind in ("text", "multi_input") and (text := source.get("input_text")):
            vector = self.vector(model, text.encode(), text)
        elif kind == "image" or (kind == "multi_input" and source.get("media_sources")):
            media = source["media_source"] if kind == "image" else source["media_sources"][0]
            vector = self.vector(model, base64.b64decode(media["base64_string"], validate=True), "")
        else:
            raise Refusal(400, "parameter_not_provided", f"nothing in {kind}", True)
        entry = dict.fromkeys(("embedding_option", "embedding_scope", "start_sec", "end_sec"))
        answer: dict[str, Any] = {"data": [{"embedding": vector[:dim].tolist(), **entry}]}
        if model == "marengo3.5":
            answer["usage"] = {"input_tokens": {"text": 6}, "truncated": False}
            answer["metadata"] = {"input_type": "multi_input", "embedding_dimension": dim}
        return answer

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        model = model_of(request)
        dim = dimension_of(request, model)
        video = request.get("video")
        if request.get("input_type") != "video" or not isinstance(video, dict):
            raise Refusal(400, "parameter_not_provided", "video is missing", True)
        check_video(video, model)
        source, filename, content, failed = self._fetch(video["media_source"])
        duration, title = (10.0, "") if failed else self._probe(content)
        task = Task(
            secrets.token_hex(12), request, self.now(), source, filename, content, duration,
            self.polls, title, "unfetchable" if failed else None,
        )  # fmt: skip
        with self.lock:
            self.tasks[task.id] = task
        answer: dict[str, Any] = {"_id": task.id, "status": "processing", "data": None}
        if model == "marengo3.5":
            answer["metadata"] = {"embedding_dimension": dim}
        return answer

    def _fetch(self, media: dict[str, Any]) -> tuple[str, str, bytes, bool]:
        if len(media) != 1:
            raise Refusal(400, "parameter_invalid", "media_source needs exactly one source", True)
        if asset_id := media.get("asset_id"):
            asset = self.assets.get(asset_id)
            if asset is None or asset["status"] != "ready":
                raise Refusal(400, "parameter_invalid", "the asset is not ready", True)
            return "", asset["filename"], asset["content"], False
        url = str(media.get("url", ""))
        if not url.startswith(("http://", "https://")):
            raise Refusal(400, "parameter_invalid", "media_source.url must be http(s)", True)
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                name = response.headers.get("x-amz-meta-filename", "") or urlsplit(url).path
                return url, name, response.read(), False
        except (urllib.error.URLError, OSError):
            return url, urlsplit(url).path, b"", True

    def _probe(self, content: bytes) -> tuple[float, str]:
        try:
            with av.open(io.BytesIO(content)) as container:
                stream = container.streams.video[0]
                duration = (container.duration or 0) / 1_000_000
                title = container.metadata.get("title", "")
                width, height = stream.width, stream.height
        except (av.FFmpegError, IndexError) as exc:
            raise Refusal(400, "video_file_broken", "The video cannot be read.", True) from exc
        if self.strict_media:
            ratio = max(width, height) / min(width, height)
            if duration < 4:
                raise Refusal(400, "video_duration_too_short", "shorter than 4 s", True)
            if min(width, height) < 360:
                raise Refusal(400, "video_resolution_too_low", f"{width}x{height}", True)
            if ratio > 2.4:
                raise Refusal(400, "video_resolution_invalid_aspect_ratio", f"{ratio:.2f}", True)
        return duration, title

    def _list(self, query: dict[str, Any]) -> dict[str, Any]:
        page, size = int(query.get("page", 1)), int(query.get("page_limit", 10))
        if size > 50:
            raise Refusal(400, "parameter_invalid", "page_limit is at most 50")
        since = epoch(query["started_at"]) if "started_at" in query else 0.0
        alive = [t for t in self.tasks.values() if t.created_at > self.now() - WEEK]
        alive = [t for t in alive if since <= t.created_at <= self.now() - self.lists_after]
        alive.sort(key=lambda task: task.created_at, reverse=True)
        rows = [
            {
                "_id": task.id,
                "model_name": task.request["model_name"],
                "status": self._status(task),
                "created_at": stamp(task.created_at),
                "updated_at": stamp(task.created_at + 1),
                **self._listed_origin(task),
            }
            for task in alive[(page - 1) * size : page * size]
        ]
        info = {"limit_per_page": size, "page": page, "total_results": len(alive),
                "total_page": math.ceil(len(alive) / size)}  # fmt: skip
        return {"data": rows, "page_info": info}

    def _listed_origin(self, task: Task) -> dict[str, Any]:
        if self.tells == "none" or (self.tells == "ready" and self._status(task) != "ready"):
            return {}
        return {"video_embedding": {"metadata": self._origin(task) | {"duration": task.duration}}}

    def _origin(self, task: Task) -> dict[str, Any]:
        if self.tells == "none":
            return {}
        return {"input_url": task.source} if task.source else {"input_filename": task.filename}

    def _status(self, task: Task) -> str:
        if task.fault in ("failed", "retry-later", "unfetchable"):
            return "failed"
        return "processing" if task.polls_left > 0 else "ready"

    def _retrieve(self, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is None or task.created_at < self.now() - WEEK:
            raise Refusal(404, "resource_not_exist", f"Resource {task_id} does not exist", True)
        with self.lock:
            task.polls += 1
            task.polls_left -= 1
            running = task.polls_left >= 0
        head = {"_id": task.id, "created_at": stamp(task.created_at)}
        if task.fault == "unknown-status" and task.polls < 4:
            return head | {"status": "queued_somewhere", "data": None}
        if running:
            return head | {"status": "processing", "data": None}
        reasons = {
            "failed": "The file could not be processed.",
            "retry-later": "The service is unstable. Please try again later.",
            "unfetchable": "The source media could not be fetched.",
        }
        if task.fault in reasons:
            return head | {
                "status": "failed",
                "data": None,
                "error": {"message": reasons[task.fault]},
            }
        return head | self._ready(task)

    def _ready(self, task: Task) -> dict[str, Any]:
        video, model = task.request["video"], task.request["model_name"]
        dim = task.request.get("embedding_dimension", 512)
        rows = [] if task.fault == "empty" else self.rows(task)
        metadata = {
            "input_type": "video", **self._origin(task),
            "embedding_options": video["embedding_option"],
            "embedding_scopes": video["embedding_scope"], "duration": task.duration,
        }  # fmt: skip
        if model == "marengo3.5":
            metadata["embedding_dimension"] = dim
        if task.fault == "no-duration":
            del metadata["duration"]
        if task.fault == "nan" and rows:
            rows[0]["embedding"][3] = float("nan")
        if task.fault == "zero" and rows:
            rows[0]["embedding"] = [0.0] * dim
        if task.fault == "short" and rows:
            rows[0]["embedding"] = rows[0]["embedding"][:-1]
        return {"status": "ready", "data": rows, "metadata": metadata}

    def rows(self, task: Task) -> list[dict[str, Any]]:
        """What a ready task returns: all options, clips and the whole, shuffled."""
        video, model = task.request["video"], task.request["model_name"]
        dim = task.request.get("embedding_dimension", 512)
        options = list(video["embedding_option"])
        if "fused_embedding" in video.get("embedding_type", []):
            options.append("fused")
        segmentation = video.get("segmentation", {})
        segmentation = segmentation.get("temporal", segmentation)
        length = segmentation.get("fixed", {}).get("duration_sec", 6.0)
        count = max(1, math.ceil(task.duration / length))
        rows = []
        for option in options:
            spans = [("asset", 0.0, task.duration)] if "asset" in video["embedding_scope"] else []
            if {"clip", "local"} & set(video["embedding_scope"]):
                spans += [
                    ("clip", i * length, min((i + 1) * length, task.duration)) for i in range(count)
                ]
            for scope, start, end in spans:
                salt = f"{option}{scope}{start}".encode()
                vector = self.vector(model, task.content + salt, f"{task.title} {option}", 0.1)
                rows.append({
                    "embedding": vector[:dim].tolist(), "embedding_option": option,
                    "embedding_scope": scope, "start_sec": start, "end_sec": end,
                })  # fmt: skip
        random.Random(task.id).shuffle(rows)
        return rows

    def vector(self, model: str, content: bytes, words: str, noise: float = 0.05) -> Any:
        """512 numbers: the sum of the words' directions, and a little of the content's own."""
        total = noise * direction_of(f"{model}|{hashlib.sha256(content).hexdigest()}")
        for word in re.findall(r"[a-z]+", words.lower()):
            total = total + direction_of(f"{model}|{word}")
        return total

    def _asset(self, fields: dict[str, Any]) -> dict[str, Any]:
        upload = fields.get("file")
        if fields.get("method") != "direct" or upload is None:
            raise Refusal(400, "parameter_not_provided", "file is missing")
        asset = {
            "_id": secrets.token_hex(12), "method": "direct", "status": "processing",
            "filename": fields.get("filename") or upload[0], "file_type": "video/mp4",
            "created_at": stamp(self.now()), "content": upload[1],
        }  # fmt: skip
        self.assets[asset["_id"]] = asset
        return {key: value for key, value in asset.items() if key != "content"}

    def _list_assets(self, query: dict[str, Any]) -> dict[str, Any]:
        page, size = int(query.get("page", 1)), int(query.get("page_limit", 10))
        rows = [
            {key: value for key, value in asset.items() if key != "content"}
            for asset in list(self.assets.values())
            if query.get("filename", "") in asset["filename"]
        ]
        info = {"limit_per_page": size, "page": page, "total_results": len(rows),
                "total_page": math.ceil(len(rows) / size)}  # fmt: skip
        return {"data": rows[(page - 1) * size : page * size], "page_info": info}

    def _one_asset(self, method: str, asset_id: str) -> tuple[int, Any]:
        asset = self.assets.get(asset_id)
        if asset is None:
            raise Refusal(404, "resource_not_exist", "no such asset")
        if method == "DELETE":
            del self.assets[asset_id]
            return 204, None
        asset["status"] = "ready"
        return 200, {key: value for key, value in asset.items() if key != "content"}

    def _embed_v1(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("model_name") == "marengo3.5":
            raise Refusal(400, "parameter_invalid", "marengo3.5 is served by embed-v2")
        model = model_of(fields)
        vector = self.vector(model, fields["text"].encode(), fields["text"])
        return {"model_name": model, "text_embedding": {"segments": [{"float": vector.tolist()}]}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    standin: TwelveLabsStandIn


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        return None

    def _serve(self) -> None:
        standin = self.server.standin
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(PREFIX)
        kind = self.headers.get("content-type", "")
        fields: dict[str, Any] = {k: v[0] for k, v in parse_qs(parts.query).items()}
        if kind.startswith("application/json") and body:
            try:
                fields = json.loads(body)
            except json.JSONDecodeError:
                fields = {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        logged = Logged(standin.now(), self.command, path, kind, fields, headers)
        with standin.lock:
            standin.log.append(logged)
            struck = [f for f in standin.faults if f.strikes(self.command, path)]
        for fault in (f for f in struck if not f.after and f.kind not in RESULT_FAULTS):
            return self._fail(fault, logged, lambda: self._work(logged, body))
        status, answer, extra = self._work(logged, body)
        if self.command == "POST" and status == 202:
            for fault in (f for f in struck if f.kind in RESULT_FAULTS):
                standin.tasks[answer["_id"]].fault = fault.kind
        for fault in (f for f in struck if f.after):
            return self._fail(fault, logged, lambda: (status, answer, extra))
        self._send(logged, status, answer, extra)

    def _work(self, logged: Logged, body: bytes) -> tuple[int, Any, dict[str, str]]:
        try:
            status, answer = self.server.standin.answer(logged, body)
        except Refusal as refusal:
            return refusal.status, refusal.body, {}
        extra = {"Location": f"/embed-v2/tasks/{answer['_id']}"} if status == 202 else {}
        return status, answer, extra

    def _fail(self, fault: Fault, logged: Logged, work: Callable[[], Any]) -> None:
        if fault.kind == "drop":
            logged.status = -1
            self.close_connection = True
            self.connection.close()
        elif fault.kind == "slow":
            time.sleep(fault.seconds)
            self._send(logged, *work())
        else:
            self._send(logged, *fault.answer())

    def _send(self, logged: Logged, status: int, answer: Any, extra: dict[str, str]) -> None:
        logged.status = status
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if status == 204:
            content = b""
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Api-Version", "1.3.0")
            for name, value in {**self.server.standin.headers, **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            # The client is gone (killed, or out of patience): what was done stays done.
            self.close_connection = True
