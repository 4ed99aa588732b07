"""What a service that stands in for Twelve Labs' reads of a request, and what it refuses."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from werkzeug.formparser import parse_form_data

OPTIONS = {"marengo3.5": ("visual", "audio"), "marengo3.0": ("visual", "audio", "transcription")}


@dataclass
class Logged:
    """A request as it came: for assertions on the wire."""

    at: float
    method: str
    path: str
    content_type: str
    fields: dict[str, Any]
    headers: dict[str, str]
    status: int = 0


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, nested: bool = False) -> None:
        super().__init__(message)
        flat = {"code": code, "message": message}
        self.status, self.body = status, {"error": flat} if nested else flat


def json_fields(logged: Logged) -> dict[str, Any]:
    if not logged.content_type.startswith("application/json"):
        raise Refusal(400, "parameter_invalid", "the content type must be application/json", True)
    return logged.fields


def form_fields(logged: Logged, body: bytes) -> dict[str, Any]:
    if not logged.content_type.startswith("multipart/form-data"):
        raise Refusal(400, "parameter_invalid", "the content type must be multipart/form-data")
    if not body:
        raise Refusal(400, "parameter_not_provided", "the body is empty")
    environ = {
        "wsgi.input": io.BytesIO(body), "CONTENT_TYPE": logged.content_type,
        "CONTENT_LENGTH": str(len(body)), "REQUEST_METHOD": "POST",
    }  # fmt: skip
    _, form, files = parse_form_data(environ)
    fields: dict[str, Any] = {name: form[name] for name in form}
    logged.fields = dict(fields)
    fields |= {name: (files[name].filename, files[name].read()) for name in files}
    return fields


def model_of(request: dict[str, Any]) -> str:
    model = str(request.get("model_name"))
    if model == "Marengo-retrieval-2.7":
        raise Refusal(
            400, "parameter_invalid", "model_name: Marengo-retrieval-2.7 has been sunset."
        )
    if model not in OPTIONS:
        raise Refusal(400, "parameter_invalid", f"model_name: unknown model {model}")
    return model


def dimension_of(request: dict[str, Any], model: str) -> int:
    if "embedding_dimension" not in request:
        return 512
    if model == "marengo3.0":
        raise Refusal(400, "parameter_unknown", "embedding_dimension requires marengo3.5", True)
    if request["embedding_dimension"] not in (128, 256, 512):
        raise Refusal(400, "parameter_invalid", "embedding_dimension: 128, 256 or 512", True)
    return int(request["embedding_dimension"])


def check_video(video: dict[str, Any], model: str) -> None:
    wrapped = "temporal" in video.get("segmentation", {"temporal": None})
    if wrapped != (model == "marengo3.5") and "segmentation" in video:
        raise Refusal(400, "parameter_invalid", f"segmentation does not fit {model}", True)
    options = video.get("embedding_option", list(OPTIONS[model]))
    if not options or set(options) - set(OPTIONS[model]):
        raise Refusal(400, "parameter_invalid", f"embedding_option {options} for {model}", True)
    if "fused_embedding" in video.get("embedding_type", []) and (
        len(options) < 2 or (model == "marengo3.5" and not video.get("time_based_metadata"))
    ):
        raise Refusal(400, "parameter_invalid", "fused_embedding cannot be made so", True)
    scopes = {"clip", "asset"} | ({"local"} if model == "marengo3.5" else set())
    if set(video.get("embedding_scope", ["clip"])) - scopes:
        raise Refusal(400, "parameter_invalid", "embedding_scope", True)


def direction_of(seed: str) -> Any:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    vector = np.random.default_rng(number).standard_normal(512)
    return vector / np.linalg.norm(vector)


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
