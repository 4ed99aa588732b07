"""Jobs whose creation got no answer: they are looked for in the service's own list.

A listed job is taken for the lost one only where the service says that it reads the same source:
a URL the same but for its signature (host and all), or a copy's name, which no other has. Where
it does not say enough to tell, nothing is taken and nothing is paid for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from vidrec.embedders.marengo.client import Gone, Service
from vidrec.embedders.marengo.pace import Clock
from vidrec.embedders.marengo.profiles import Requests
from vidrec.errors import JobError, TransientError
from vidrec.library.jobs import CatalogJobs, Job
from vidrec.urls import stable_url

LIST_PAGE = 50
SKEW_SECONDS = 3600.0
ASKED = 10  # listed jobs that say too little are asked themselves, so many at most


@dataclass(slots=True)
class LostJobs:
    """Looks for jobs. Safe to share between threads."""

    service: Service
    requests: Requests
    log: CatalogJobs
    clock: Clock

    def find(self, job: Job, since: float) -> str | None:
        """Return the id of a lost job; None once it is sure that there is none.

        The request may still have been on its way: until ``settle_sec`` after ``since`` (Unix
        seconds) a second look is taken. What cannot be told yet is waited for.

        Raises:
            TransientError: a listed job may be it, and the service does not say.
        """
        settings = self.requests.settings
        until = self.clock.steady() + settings.patience_sec
        found, doubtful = self._look(job)
        early = min(settings.settle_sec, since + settings.settle_sec - self.clock.now())
        if found is None and early > 0:
            self.service.tell("lost", "looking for a job that Twelve Labs may have made unanswered")
            self.clock.wait(early)
            found, doubtful = self._look(job)
        while found is None and doubtful and self.clock.steady() < until:
            self.clock.wait(settings.poll_sec)
            found, doubtful = self._look(job)
        if found is None and doubtful:
            raise TransientError(
                f"Twelve Labs lists a job ({doubtful[0]}) that may be this video's, but does not "
                "say what it reads: nothing is paid for again before that is clear, or the lost "
                "job is given up (`vidrec jobs`)"
            )
        return found

    def _look(self, job: Job) -> tuple[str | None, list[str]]:
        """Return the job's id, or those of jobs that may be it."""
        same, doubtful, asked = [], [], 0
        for row in self._listed(job):
            job_id = str(row.get("_id") or "")
            if not job_id or row.get("model_name") != self.requests.profile.model:
                continue
            if self.log.knows(job_id):
                continue
            source = source_of((row.get("video_embedding") or {}).get("metadata"))
            if not source and asked < ASKED:
                asked += 1
                source = self._asked(job_id)
            if source == job.source:
                same.append(job_id)
            elif not source or unquote(source) == unquote(job.source):
                doubtful.append(job_id)
        if len(same) == 1 and not self.log.rivals(job):
            return same[0], []
        return None, same + doubtful

    def _listed(self, job: Job) -> Iterator[dict[str, Any]]:
        since = datetime.fromtimestamp(job.created_at - SKEW_SECONDS, timezone.utc)
        started_at = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        for page in count(1):
            rows = self._page(started_at, page)
            yield from rows
            if len(rows) < LIST_PAGE:
                return

    def _page(self, started_at: str, page: int) -> list[dict[str, Any]]:
        try:
            answer = self.service.call(
                "list its jobs",
                lambda sdk: sdk.embed.v_2.tasks.list(
                    started_at=started_at, page=page, page_limit=LIST_PAGE
                ),
            )
        except JobError as exc:  # says nothing of the video
            raise TransientError(str(exc)) from exc
        return [row for row in answer.get("data") or [] if isinstance(row, dict)]

    def _asked(self, job_id: str) -> str:
        try:
            body = self.service.call(
                "read the result", lambda sdk: sdk.embed.v_2.tasks.retrieve(job_id)
            )
        except (Gone, JobError):
            return ""
        return source_of(body.get("metadata"))


def source_of(metadata: object) -> str:
    """Return what a job reads, by its metadata: a URL unsigned or a name; empty if not said."""
    if not isinstance(metadata, dict):
        return ""
    url = str(metadata.get("input_url") or "")
    return unsigned(url) if url else str(metadata.get("input_filename") or "")


def unsigned(url: str) -> str:
    """Return a URL as it is compared: without its signature, its host in small letters."""
    try:
        parts = urlsplit(stable_url(url))
    except ValueError:
        return url.partition("?")[0]
    return urlunsplit(parts._replace(netloc=parts.netloc.lower()))
