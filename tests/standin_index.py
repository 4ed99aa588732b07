"""An index of Twelve Labs for tests: videos with the vectors that indexing paid for."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from typing import Any

from tests.standin_twelvelabs import Logged, Refusal, TwelveLabsStandIn

OPTIONS = ("visual", "audio")
CLIP_SEC = 6.0


@dataclass
class Indexed:
    """A video of an index."""

    filename: str
    duration: float
    size: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    fault: str = ""  # of its embeddings: "none", "short", "gone"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.filename.encode()).hexdigest()[:24]


@dataclass
class IndexStandIn(TwelveLabsStandIn):
    """The service with indexes: ``indexes`` holds videos by the index's id."""

    indexes: dict[str, list[Indexed]] = field(default_factory=dict)
    model: str = "marengo3.0"

    def answer(self, logged: Logged, body: bytes) -> tuple[int, Any]:
        found = re.fullmatch(r"/indexes/([^/]+)(/videos(?:/([^/]+))?)?", logged.path)
        if found is None or logged.headers.get("x-api-key") != self.key:
            return super().answer(logged, body)
        videos = self.indexes.get(found[1])
        if videos is None:
            raise Refusal(404, "resource_not_exist", f"Resource {found[1]} does not exist")
        if not found[2]:
            models = [
                {"model_name": "pegasus1.2", "model_options": ["visual", "audio"]},
                {"model_name": self.model, "model_options": list(OPTIONS)},
            ]
            return 200, {"_id": found[1], "index_name": "films", "models": models}
        if not found[3]:
            return 200, self._page(videos, logged.fields)
        video = next((one for one in videos if one.id == found[3]), None)
        if video is None or video.fault == "gone":
            raise Refusal(404, "resource_not_exist", f"Resource {found[3]} does not exist")
        return 200, self._one(video, OPTIONS if "embedding_option" in logged.fields else ())

    def _page(self, videos: list[Indexed], query: dict[str, Any]) -> dict[str, Any]:
        page, size = int(query.get("page", 1)), int(query.get("page_limit", 10))
        info = {"page": page, "limit_per_page": size, "total_results": len(videos),
                "total_page": math.ceil(len(videos) / size)}  # fmt: skip
        rows = [
            {"_id": video.id, "system_metadata": {"filename": video.filename}}
            for video in videos[(page - 1) * size : page * size]
        ]
        return {"data": rows, "page_info": info}

    def _one(self, video: Indexed, options: tuple[str, ...]) -> dict[str, Any]:
        facts = {"filename": video.filename, "duration": video.duration, "fps": 25.0,
                 "width": 640, "height": 360, "size": video.size}  # fmt: skip
        answer: dict[str, Any] = {"_id": video.id, "system_metadata": facts}
        if video.metadata:
            answer["user_metadata"] = video.metadata
        if not options or video.fault == "none":
            return answer
        spans = [("clip", start * CLIP_SEC, min(video.duration, (start + 1) * CLIP_SEC))
                 for start in range(math.ceil(video.duration / CLIP_SEC))]  # fmt: skip
        segments = [
            {
                "float": self.numbers(video, option), "embedding_option": option,
                "embedding_scope": scope, "start_offset_sec": start, "end_offset_sec": end,
            }
            for option in options
            for scope, start, end in [*spans, ("video", 0.0, video.duration)]
        ]  # fmt: skip
        embedding = {"model_name": self.model, "video_embedding": {"segments": segments}}
        return answer | {"embedding": embedding}

    def numbers(self, video: Indexed, option: str) -> list[float]:
        """A vector near that of a text with the words of the file's name."""
        content = f"{option}:{video.filename}".encode()
        made: list[float] = self.vector(self.model, content, video.filename).tolist()
        return made[:7] if video.fault == "short" else made
