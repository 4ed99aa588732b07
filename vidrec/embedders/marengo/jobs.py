"""One paid job for each video, however often the run is cut off.

A job passes through the job log: ``creating`` before it is asked for, ``running`` with its id
before the first poll, ``done`` with the raw answer before anything reads it. What is found there
is taken up where it stands. Where a creation got no answer, the service's own list is searched
before anything is asked for again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from vidrec.embedders.base import JobLog
from vidrec.embedders.marengo.client import Clock, Gone, Service, Unsure
from vidrec.embedders.marengo.profiles import ASSET_BYTES, Requests
from vidrec.embedders.marengo.replies import clean
from vidrec.errors import EmbedderError, JobError, TransientError
from vidrec.files import is_file
from vidrec.types import Job, Video

LIST_PAGE = 50
SKEW_SECONDS = 3600.0
ASSET = "asset:"
WEEK_SECONDS = 7 * 24 * 3600.0
POLL_GROWTH = 1.4
POLL_LONGEST = 6.0  # times the first interval
# Failures that another job may not meet; only decides whether a later run tries again.
LATER = re.compile(r"again|later|unstable|unavailable|fetch", re.IGNORECASE)


@dataclass(slots=True)
class Jobs:
    """Takes one video at a time to its answer. Safe to share between threads."""

    service: Service
    requests: Requests
    log: JobLog
    clock: Clock
    url_for: Callable[[Video], str | None]
    force: bool = False

    def answer(self, video: Video) -> dict[str, Any]:
        """Return the service's answer for a video, paying for it only if it must.

        Raises:
            JobError: the service refuses the video, or failed on it for good.
            TransientError: a later run may do better; it takes up the same job.
            QuotaError, EmbedderError, Stopped: the run is to end.
        """
        job = self.log.get(video.id, self.requests.job_key)
        if job is not None and job.state == "creating":
            job = self._find(video, job, job.created_at)
        elif job is not None and job.state == "done" and job.result and not self.force:
            return self._without_asset(job)
        elif job is not None and not may_last(job, self.force, self.clock.now()):
            job = None
        if job is not None:
            try:
                return self._without_asset(self._poll(video, job))
            except Gone:
                pass  # the service keeps answers for a week
        return self._without_asset(self._poll(video, self._create(video), fresh=True))

    def _without_asset(self, job: Job) -> dict[str, Any]:
        """Delete the copy that a finished job was made from, and return the answer."""
        if job.detail.startswith(ASSET):
            asset_id = job.detail.removeprefix(ASSET)
            try:
                self.service.call("delete the file", lambda sdk: sdk.assets.delete(asset_id))
            except (Gone, JobError):
                pass  # it is gone already, or is not ours to delete
            except TransientError:
                return cast("dict[str, Any]", json.loads(job.result or b"{}"))
            self.log.put(replace(job, detail=""))
        return cast("dict[str, Any]", json.loads(job.result or b"{}"))

    def reread(self, video: Video) -> None:
        """Let the next run fetch a job's answer again: this one was of no use."""
        job = self.log.get(video.id, self.requests.job_key)
        if job is not None and job.state == "done":
            self.log.put(replace(job, state="running", result=None))

    def _create(self, video: Video) -> Job:
        """Ask for a job, once; its id is in the log when this returns."""
        minutes = self.requests.minutes(video.duration_sec)
        job = Job(
            video.id, self.requests.job_key, "creating", created_at=self.clock.now(),
            minutes=minutes,
        )  # fmt: skip
        self.log.put(job)
        try:
            source, job = self._source(video, job)
            return self._ask(video, job, source)
        except JobError as exc:
            self.log.put(replace(job, state="failed", detail=str(exc)))
            raise

    def _ask(self, video: Video, job: Job, source: dict[str, str]) -> Job:
        request = self.requests.video(source)
        for _ in range(3):
            try:
                body = self.service.call(
                    "embed the video", lambda sdk: sdk.embed.v_2.tasks.create(**request), paid=True
                )
            except Unsure:
                found = self._find(video, job, self.clock.now())
                if found is not None:
                    return found
                continue
            return self._running(job, str(body.get("_id", "")))
        raise TransientError(
            "Twelve Labs gives no clear answer to new jobs: run again later; what may have been "
            "created is looked for first"
        )

    def _running(self, job: Job, job_id: str) -> Job:
        if not re.fullmatch(r"[0-9A-Za-z_-]+", job_id):
            raise EmbedderError(f"Twelve Labs gave a job the id {job_id[:40]!r}")
        job = replace(job, state="running", job_id=job_id)
        self.log.put(job)
        return job

    # What the service reads the video from

    def _source(self, video: Video, job: Job) -> tuple[dict[str, str], Job]:
        """Return the media source; the copy of an asset is made here."""
        wished = self.requests.settings.source
        url = self.url_for(video) if wished != "asset" else None
        if url is not None:
            return {"url": url}, job
        if wished == "url":
            raise TransientError(
                "it has no URL: run `vidrec upload` first, or use --source auto or asset"
            )
        if video.path is None or not is_file(video.path):
            raise JobError("it is neither on this machine nor at a URL")
        asset_id = self._asset(video, video.path)
        job = replace(job, detail=f"{ASSET}{asset_id}", created_at=self.clock.now())
        self.log.put(job)
        return {"asset_id": asset_id}, job

    def _asset(self, video: Video, path: Path) -> str:
        size = path.stat().st_size
        if size > ASSET_BYTES:
            raise JobError(
                f"{size / 1e6:.0f} MB is more than the {ASSET_BYTES >> 20} MB that can be sent "
                "directly: run `vidrec upload` first"
            )

        def send(sdk: Any) -> object:
            name = asset_name(video)
            with path.open("rb") as file:
                return sdk.assets.create(
                    method="direct", file=(name, file, "video/mp4"), filename=name,
                    enable_hls=False, enable_thumbnail=False,
                )  # fmt: skip

        asset_id = str(self.service.call("take the file", send).get("_id", ""))
        if not re.fullmatch(r"[0-9A-Za-z_-]+", asset_id):
            raise EmbedderError(f"Twelve Labs gave a file the id {asset_id[:40]!r}")
        until = self.clock.steady() + self.requests.settings.patience_sec
        while self.clock.steady() < until:
            found = self.service.call("look at the file", lambda sdk: sdk.assets.retrieve(asset_id))
            if found.get("status") == "ready":
                return asset_id
            if found.get("status") == "failed":
                reason = clean(str((found.get("error") or {}).get("message", "no reason given")))
                raise JobError(f"Twelve Labs cannot use the file: {reason}")
            self.clock.wait(self.requests.settings.poll_sec)
        raise TransientError("Twelve Labs did not take the file in time: run again later")

    # What is already there

    def _find(self, video: Video, job: Job, since: float) -> Job | None:
        """Look for a job whose creation got no answer; None once it is sure that there is none.

        The request may still have been on its way: until some time after ``since``, a second
        look is taken.
        """
        found = self._listed(video, job)
        settle = self.requests.settings.settle_sec
        early = min(settle, since + settle - self.clock.now())  # the clock may have been set back
        if found is None and early > 0:
            self.clock.wait(early)
            found = self._listed(video, job)
        return self._running(job, found) if found is not None else None

    def _listed(self, video: Video, job: Job) -> str | None:
        since = datetime.fromtimestamp(job.created_at - SKEW_SECONDS, timezone.utc)
        started_at = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        for page in count(1):
            rows = self._list(started_at, page)
            for row in rows:
                if self._is_ours(row, video):
                    return str(row["_id"])
            if len(rows) < LIST_PAGE:
                break
        return None

    def _list(self, started_at: str, page: int) -> list[dict[str, Any]]:
        answer = self.service.call(
            "list its jobs",
            lambda sdk: sdk.embed.v_2.tasks.list(
                started_at=started_at, page=page, page_limit=LIST_PAGE
            ),
        )
        return answer.get("data") or []

    def _is_ours(self, row: dict[str, Any], video: Video) -> bool:
        """Whether a listed job is of this video and model, and none that the log knows."""
        if row.get("model_name") != self.requests.profile.model or not row.get("_id"):
            return False
        metadata = (row.get("video_embedding") or {}).get("metadata") or {}
        seen = unquote(urlsplit(str(metadata.get("input_url") or "")).path)
        seen += str(metadata.get("input_filename") or "")
        stable = unquote(urlsplit(video.url).path) if video.url else ""
        same = video.id in seen or (bool(stable) and seen.endswith(stable))
        return same and not self.log.knows(str(row["_id"]))

    # Waiting

    def _poll(self, video: Video, job: Job, *, fresh: bool = False) -> Job:
        assert job.job_id is not None
        job_id = job.job_id
        settings = self.requests.settings
        interval = settings.poll_sec
        until = self.clock.steady() + settings.patience_sec + (video.duration_sec or 0.0)
        if fresh:
            self.clock.wait(interval)
        while True:
            try:
                body: dict[str, Any] = self.service.call(
                    "read the result", lambda sdk: sdk.embed.v_2.tasks.retrieve(job_id)
                )
            except Gone:
                if self.clock.now() - job.created_at > settings.patience_sec:
                    raise
                body = {"status": "not there yet"}  # never pay again for what is just made
            status = body.get("status")
            if status == "ready":
                _hide_signature(body)
                done = replace(job, state="done", result=json.dumps(body).encode())
                self.log.put(done)
                return done
            if status == "failed":
                self._failed(job, body)
            # Any other word means that it is not finished.
            if self.clock.steady() >= until:
                raise TransientError(
                    f"job {job_id} still says {clean(str(status))[:40]} after "
                    f"{settings.patience_sec / 60:.0f} minutes: run again later to take it up"
                )
            self.clock.wait(interval)
            interval = min(interval * POLL_GROWTH, settings.poll_sec * POLL_LONGEST)

    def _failed(self, job: Job, body: dict[str, Any]) -> None:
        error = body.get("error")
        reason = error.get("message") if isinstance(error, dict) else None
        words = clean(str(reason or "no reason given"))[:300]
        self.log.put(replace(job, state="failed", detail=words))
        message = f"Twelve Labs could not embed it: {words}"
        raise (TransientError if LATER.search(words) else JobError)(message)


def may_last(job: Job, force: bool, now: float) -> bool:
    """Whether a job need not be paid for again: it runs, or its answer can still be fetched."""
    if job.state == "failed" or (force and job.state != "running"):
        return False
    return now - job.created_at < WEEK_SECONDS


def asset_name(video: Video) -> str:
    """The name under which a file is sent: its id, so that its job is found again."""
    suffix = Path(video.filename).suffix.lower()
    return f"{video.id}{suffix if re.fullmatch(r'[.][a-z0-9]{1,8}', suffix) else '.mp4'}"


def _hide_signature(body: dict[str, Any]) -> None:
    """Leave the query out of the URL that the service repeats: it can still open the video."""
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("input_url"), str):
        metadata["input_url"] = metadata["input_url"].split("?")[0]
