"""Marengo by Twelve Labs: video, text and image in one space, computed by a paid service.

The video is fetched by the service from a URL (of the object that `vidrec upload` made) or sent
to it. One job returns embeddings of clips and of the whole, seen and heard; all of them are kept,
each kind under its own fingerprint, and one kind is searched.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vidrec.config import Settings
from vidrec.embedders.base import EmbedContext, Embedded, Embedder, EmbedOne
from vidrec.embedders.marengo.answers import Answers
from vidrec.embedders.marengo.client import Service
from vidrec.embedders.marengo.copies import Copies
from vidrec.embedders.marengo.jobs import Jobs, may_last
from vidrec.embedders.marengo.pace import Clock, Stopped
from vidrec.embedders.marengo.profiles import (
    MAX_ASPECT,
    MAX_HEIGHT,
    MAX_WIDTH,
    MIN_SIDE,
    Requests,
    refusal,
)
from vidrec.errors import EmbedderError, JobError, MediaError
from vidrec.types import Fingerprint, Modality, Video, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidrec.media.repair import Limits
    from vidrec.types import Vector

IMAGE_BYTES = 32 << 20
SENT_AS_IS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class MarengoEmbedder(Embedder):
    """The embedder ``marengo``. Nothing is asked of the service before the first use."""

    name: ClassVar[str] = "marengo"
    modalities: ClassVar[frozenset[Modality]] = frozenset({"video", "text", "image"})
    own_clips: ClassVar[bool] = True
    paid: ClassVar[bool] = True

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Check the settings.

        Raises:
            ConfigError: the model is unknown or retired, or the settings do not fit it.
        """
        super().__init__(settings)
        self._settings = settings.marengo
        self._pace_file = settings.library / "marengo.pace"
        self._requests = Requests(settings.marengo)
        self._answers = Answers(self._requests)
        self._clock = clock or Clock()
        self._service: Service | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        return self._requests.fingerprint(self._requests.option)

    @property
    def searched(self) -> tuple[tuple[str, float | None], ...]:
        made = self._requests.fingerprint
        return tuple((str(made(option)), w) for option, w in self._requests.searched.items())

    @property
    def text_space(self) -> str:
        """All kinds of a model's vectors are compared with the same vector of a text."""
        return str(Fingerprint(self.name, self._requests.profile.model, self._requests.dim))

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        return tuple(self._requests.fingerprint(option) for option in self._requests.options)

    @property
    def service(self) -> Service:
        """The service, with the key from the settings or the environment.

        Raises:
            ConfigError: there is no key.
        """
        if self._service is None:
            self._service = self._new_service(self._clock)
        return self._service

    def _new_service(self, clock: Clock) -> Service:
        return Service(self._settings, clock, self._pace_file, lambda words: self.say(words))

    def refusal(self, info: VideoInfo, size: int) -> str | None:
        return refusal(self._settings, info, size)

    @property
    def limits(self) -> Limits:
        from vidrec.media.repair import Limits

        return Limits(self._settings.min_sec, MIN_SIDE, MAX_HEIGHT, MAX_WIDTH, MAX_ASPECT)

    def billed_minutes(self, seconds: float) -> float:
        return self._requests.minutes(seconds)

    def price(self, minutes: float) -> float | None:
        each = self._settings.price_video_minute
        return None if each is None else minutes * each

    def price_of_texts(self, count: int) -> float | None:
        each = self._settings.price_thousand_texts
        return None if each is None else count / 1000 * each

    def pays_for(self, video: Video, context: EmbedContext) -> bool:
        job = context.job_log.get(video.id, self._requests.job_key)
        if job is None or job.state == "creating":
            return True
        kept = job.state == "done" and job.result is not None and not context.force
        return not kept and not may_last(job, context.force, self._clock.now())

    def at_once(self, context: EmbedContext) -> int:
        return self._settings.jobs

    def clean(self, context: EmbedContext) -> None:
        Copies(self.service, self._requests, context.job_log).sweep()

    def stored(self, outcome: Embedded, context: EmbedContext) -> None:
        if outcome.error is None:
            context.job_log.close(outcome.video.id, self._requests.job_key)

    @contextmanager
    def _run(self, context: EmbedContext) -> Iterator[EmbedOne]:
        service = self._new_service(replace(self._clock, stopped=context.cancelled))
        jobs = Jobs(
            service, self._requests, context.job_log, context.url_for, context.sent_sec,
            context.force,
        )  # fmt: skip
        try:
            yield partial(self._outcome, jobs)
            jobs.copies.sweep()
        except Stopped:
            pass
        finally:
            service.close()

    def _outcome(self, jobs: Jobs, video: Video) -> Embedded | None:
        """Run one video to its end; None where the run ended first."""
        try:
            answer = jobs.answer(video)
            try:
                return self._answers.embedded(video, answer)
            except JobError as exc:
                jobs.reread(video, str(exc))
                raise
        except Stopped:
            return None
        except OSError as exc:
            return Embedded(video, error=MediaError(exc.strerror or "cannot be read"))

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        found = [self._ask("embed the text", self._requests.text(text)) for text in texts]
        return np.stack(found) if found else np.empty((0, self.dim), np.float32)

    def _encode_image(self, path: Path) -> Vector:
        encoded = base64.b64encode(_image_bytes(path)).decode("ascii")
        return self._ask("embed the image", self._requests.image(encoded))

    def _ask(self, what: str, request: dict[str, Any]) -> Vector:
        body = self.service.call(what, lambda sdk: sdk.embed.v_2.create(**request))
        rows = body.get("data")
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            raise EmbedderError(f"Twelve Labs returned no embedding when asked to {what}")
        return self._answers.vector(rows[0])

    def close(self) -> None:
        if self._service is not None:
            self._service.close()
            self._service = None


def _image_bytes(path: Path) -> bytes:
    """Return an image as JPEG or PNG; other formats are converted.

    Raises:
        MediaError: it cannot be read, or is too large.
    """
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as picture:
            picture.load()
            if not content.startswith(SENT_AS_IS):
                buffer = BytesIO()
                picture.convert("RGB").save(buffer, "PNG")
                content = buffer.getvalue()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as exc:
        reason = getattr(exc, "strerror", None) or "it is no readable image"
        raise MediaError(f"cannot read {path}: {reason}") from exc
    if len(content) > IMAGE_BYTES:
        raise MediaError(f"{path} has {len(content) / 1e6:.0f} MB; an image may have 32")
    return content
