"""One paid job for each video, however often the run is cut off, and beside whatever else runs.

Whoever works on a video's job has it in hand (a claim); others wait and take what came of it. A
job passes through the job log: ``creating``, with its minutes counted, before it is asked for;
``running`` with its id before the first poll; ``done`` with the raw answer before anything reads
it. What is found there is taken up where it stands. Where a creation got no answer, the service's
own list is searched before anything is asked for again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from vidrec.embedders.marengo.client import OUTAGE, Gone, Service, Unsure
from vidrec.embedders.marengo.copies import Copies
from vidrec.embedders.marengo.lost import LostJob, unsigned
from vidrec.embedders.marengo.pace import Stopped
from vidrec.embedders.marengo.profiles import Requests
from vidrec.embedders.marengo.replies import checked_id, clean
from vidrec.errors import JobError, OutageError, TransientError, VidrecError
from vidrec.files import is_file
from vidrec.library.jobs import CatalogJobs, Job
from vidrec.types import Video

WEEK_SECONDS = 7 * 24 * 3600.0
LOOK_SECONDS = 0.5  # at first, between two looks whether another run is done with a job
# Failures that another job may not meet; only decides whether a later run tries again.
LATER = re.compile(r"again|later|unstable|unavailable|fetch", re.IGNORECASE)


@dataclass(slots=True)
class Jobs:
    """Takes one video at a time to its answer. Safe to share between threads."""

    service: Service
    requests: Requests
    log: CatalogJobs
    url_for: Callable[[Video], str | None]
    sent_sec: Callable[[Video], float | None]
    force: bool = False
    unclear: int = 0  # videos in a row whose job may or may not have been made
    copies: Copies = field(init=False)

    def __post_init__(self) -> None:
        self.copies = Copies(self.service, self.requests, self.log)

    def answer(self, video: Video) -> dict[str, Any]:
        """Return the service's answer for a video, paying for it only if it must.

        Raises:
            JobError: the service refuses the video, or failed on it for good.
            OverCapError: it would have to be paid for, and must not be.
            TransientError: a later run may do better; it takes up the same job.
            QuotaError, EmbedderError, Stopped: the run is to end.
        """
        self._take(video)
        try:
            job = self._done(video)
            return cast("dict[str, Any]", json.loads(job.result or b"{}"))
        finally:
            self.log.release(video.id, self.requests.job_key)
            with suppress(Stopped):
                self.copies.sweep(video.id)

    def _take(self, video: Video) -> None:
        """Have the video's job in hand; wait while another run has it."""
        patience = self._patience(video)
        for _ in self.service.clock.looks(patience, LOOK_SECONDS):
            holder = self.log.claim(video.id, self.requests.job_key)
            if holder is None:
                return
            self.service.tell(
                f"process {holder}",
                f"another vidrec (process {holder}) works on {video.filename}: waiting for it",
            )
        raise TransientError(
            f"another vidrec (process {holder}) has been at it for {patience / 60:.0f} minutes: "
            "wait for it, or end it"
        )

    def _patience(self, video: Video) -> float:
        return self.service.settings.patience_sec + (video.duration_sec or 0.0)

    def _done(self, video: Video) -> Job:
        job = self.log.get(video.id, self.requests.job_key)
        if job is not None and job.state == "creating":
            found = LostJob(self.service, self.log, job).find(job.created_at)
            if found is None:
                self.log.unmade(job)
            job = self._running(job, found) if found is not None else None
        elif job is not None and job.state == "done" and job.result and not self.force:
            return job
        elif job is not None and not may_last(job, self.force, self.service.clock.now()):
            job = None
        if job is not None:
            try:
                return self._poll(video, job)
            except Gone:
                pass  # the service keeps answers for a week
        return self._poll(video, self._create(video), fresh=True)

    def reread(self, video: Video, problem: str) -> None:
        """Let the next run fetch a job's answer again: this one was of no use."""
        job = self.log.get(video.id, self.requests.job_key)
        if job is not None and job.state == "done":
            self.log.put(replace(job, state="running", result=None, detail=problem))

    def _create(self, video: Video) -> Job:
        """Ask for a job, once; its id is in the log when this returns."""
        media, source = self._source(video)
        request = self.requests.video(media)
        now = self.service.clock.now
        for last in (False, False, False, True):
            job = Job(
                video.id, self.requests.job_key, "creating", created_at=now(),
                minutes=self.requests.minutes(self.sent_sec(video)), source=source,
            )  # fmt: skip
            self.log.reserve(job)
            send = partial(self._send, job, request)
            try:
                body = self.service.call("embed the video", send, paid=True)
            except Unsure:
                found = LostJob(self.service, self.log, job).find(now())
                if found is not None:
                    return self._running(job, found)
                if not last:
                    self.log.unmade(job)
            except (VidrecError, Stopped):  # each of them says that nothing was made
                self.log.unmade(job)
                raise
            else:
                return self._running(job, str(body.get("_id", "")))
        self.unclear += 1
        raise (OutageError if self.unclear >= OUTAGE else TransientError)(
            "Twelve Labs gives no clear answer to new jobs: run again later; what may have been "
            "created is looked for first"
        )

    def _send(self, job: Job, request: dict[str, Any], sdk: Any) -> object:
        """Ask for a job; that it was not before now is written down for whoever may look for it."""
        self.log.put(replace(job, created_at=self.service.clock.now()))
        return sdk.embed.v_2.tasks.create(**request)

    def _running(self, job: Job, job_id: str) -> Job:
        self.unclear = 0
        job = replace(job, state="running", job_id=checked_id(job_id, "job"))
        self.log.put(job)
        return job

    def _source(self, video: Video) -> tuple[dict[str, str], str]:
        """Return what the service is to read, and by which name its job is found.

        A copy is sent here.
        """
        wished = self.requests.settings.source
        url = self.url_for(video) if wished != "asset" else None
        if url is not None:
            return {"url": url}, unsigned(url)
        if wished == "url":
            raise TransientError(
                "it has no URL: run `vidrec upload` first, or use --source auto or asset"
            )
        if video.path is None or not is_file(video.path):
            raise JobError("it is neither on this machine nor at a URL")
        copy = self.copies.send(video, video.path)
        return {"asset_id": copy.asset_id}, copy.name

    # Waiting

    def _poll(self, video: Video, job: Job, *, fresh: bool = False) -> Job:
        clock, settings = self.service.clock, self.service.settings
        if fresh:
            clock.wait(settings.poll_sec)
        for _ in clock.looks(self._patience(video), settings.poll_sec):
            body = self._read(job)
            status = body.get("status")
            if status == "ready":
                _hide_signature(body)
                done = replace(
                    job, state="done", result=json.dumps(body).encode(), detail="",
                    minutes=_billed(body) or job.minutes,
                )  # fmt: skip
                self.log.put(done)
                return done
            if status == "failed":
                self._failed(job, body)
            # Any other word means that it is not finished.
            said = clean(str(status))[:40]
            self.service.tell(
                "job", f"waiting for Twelve Labs' job {job.job_id} ({video.filename}): {said}"
            )
        raise TransientError(
            f"job {job.job_id} still says {said} after {settings.patience_sec / 60:.0f} minutes: "
            "run again later to take it up"
        )

    def _read(self, job: Job) -> dict[str, Any]:
        """Return what the service says of a job.

        Raises:
            Gone: it does not know it any more.
            TransientError: it does not say; that is no word on the video.
        """
        try:
            body: dict[str, Any] = self.service.call(
                "read the result", lambda sdk: sdk.embed.v_2.tasks.retrieve(job.job_id)
            )
        except Gone:
            if self.service.clock.now() - job.created_at > self.service.settings.patience_sec:
                raise
            return {"status": "not there yet"}  # never pay again for what is just made
        except JobError as exc:
            problem = f"job {job.job_id} cannot be read: {exc}"
            self.log.put(replace(job, detail=problem))
            raise TransientError(f"{problem}; `vidrec jobs --give-up` has done with it") from exc
        return body

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


def _billed(body: dict[str, Any]) -> float | None:
    """Return the minutes that the service says it looked at, if it does."""
    metadata = body.get("metadata")
    seconds = metadata.get("duration") if isinstance(metadata, dict) else None
    good = isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0
    return seconds / 60 if good else None  # type: ignore[operator]


def _hide_signature(body: dict[str, Any]) -> None:
    """Leave the query out of the URL that the service repeats: it can still open the video."""
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("input_url"), str):
        metadata["input_url"] = metadata["input_url"].split("?")[0]
