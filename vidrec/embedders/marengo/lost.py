"""Jobs whose creation got no answer: they are looked for in the service's own list.

A listed job is taken for the lost one only where the service says that it reads the same source:
a URL the same but for its signature (host and all), or a copy's name, which no other has. Where
it does not say enough to tell, nothing is taken and nothing is paid for again; nor where the list
is known to lag: it lacks jobs that were asked for after the lost one, and were answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from vidrec.embedders.marengo.client import Gone, Service
from vidrec.errors import JobError, TransientError
from vidrec.library.jobs import CatalogJobs, Job
from vidrec.urls import stable_url

LIST_PAGE = 50
SKEW_SECONDS = 3600.0
ASKED = 10  # listed jobs that say too little are asked themselves, so many at most
UNPROVEN = 8  # so many times as long is looked where no later job shows how far the list is
MOST_LAG = 24 * 3600.0  # a job that is not listed after that is gone


@dataclass(frozen=True, slots=True)
class LostJob:
    """One job that may exist at the service."""

    service: Service
    log: CatalogJobs
    job: Job

    def find(self, since: float) -> str | None:
        """Return the job's id; None once it is sure that there is none.

        The request may still have been on its way, so it is looked for until ``settle_sec`` after
        ``since`` (Unix seconds) and until the list shows a job that was asked for later; where
        there is none, eight times as long.

        Raises:
            TransientError: a listed job may be it, and the service does not say, or the list is
                not that far.
        """
        clock, settings = self.service.clock, self.service.settings
        age = max(0.0, clock.now() - since)
        began = clock.steady() - age
        for _ in clock.looks(max(settings.patience_sec, settings.settle_sec), settings.poll_sec):
            found, doubtful, listed = self._look()
            if found:
                return found
            later = self.log.asked_after(self.job)
            proven = bool(later & listed)
            enough = settings.settle_sec * (1 if proven else UNPROVEN)
            lags = bool(later) and not proven and age < MOST_LAG
            if clock.steady() - began >= enough and not doubtful and not lags:
                return None
            self.service.tell("lost", "looking for a job that Twelve Labs may have made unanswered")
        if doubtful:
            raise TransientError(
                f"Twelve Labs lists a job ({doubtful[0]}) that may be this video's, but does not "
                "say what it reads: nothing is paid for again before that is clear, or the lost "
                "job is given up (`vidrec jobs`)"
            )
        if lags:
            raise TransientError(
                "Twelve Labs does not list its latest jobs yet, and one of this video may be among "
                "them: nothing is paid for again before it does; run again later"
            )
        return None

    def _look(self) -> tuple[str | None, list[str], set[str]]:
        """Return the job's id, or those of jobs that may be it; and of all that are listed."""
        same, doubtful, listed, asked = [], [], set(), 0
        for row in self._rows():
            job_id = str(row.get("_id") or "")
            listed.add(job_id)
            if not job_id or row.get("model_name") != self.job.fingerprint.split(":")[1]:
                continue
            if self.log.knows(job_id):
                continue
            source = source_of((row.get("video_embedding") or {}).get("metadata"))
            if not source and asked < ASKED:
                asked += 1
                source = self._asked(job_id)
            if source == self.job.source:
                same.append(job_id)
            elif not source or unquote(source) == unquote(self.job.source):
                doubtful.append(job_id)
        if len(same) == 1 and not self.log.rivals(self.job):
            return same[0], [], listed
        return None, same + doubtful, listed

    def _rows(self) -> Iterator[dict[str, Any]]:
        since = datetime.fromtimestamp(self.job.created_at - SKEW_SECONDS, timezone.utc)
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
