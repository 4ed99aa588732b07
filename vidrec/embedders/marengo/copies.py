"""Copies of files that are sent to the service, and are deleted there in every course of events.

A copy is in the job log before it is sent, under a name that no other one has: so it is found
again, and deleted, also where the run ended before its id was known.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vidrec.embedders.marengo.client import Gone, Service, Unsure
from vidrec.embedders.marengo.profiles import ASSET_BYTES, Requests
from vidrec.embedders.marengo.replies import checked_id, clean
from vidrec.errors import EmbedderError, JobError, TransientError
from vidrec.library.jobs import CatalogJobs, Copy
from vidrec.types import Video

SLOW_BYTES = 4 << 20  # to send more may take more than two seconds
OPEN = ("creating", "running")  # states of a job that still reads its copy


@dataclass(slots=True)
class Copies:
    """Sends files and deletes them. Safe to share between threads."""

    service: Service
    requests: Requests
    log: CatalogJobs

    def send(self, video: Video, path: Path) -> Copy:
        """Send a file; when this returns, jobs can be made from it.

        Raises:
            JobError: it is too large, or refused.
            TransientError: it did not get there.
        """
        size = path.stat().st_size
        if size > ASSET_BYTES:
            raise JobError(
                f"{size / 1e6:.0f} MB is more than the {ASSET_BYTES >> 20} MB that can be sent "
                "directly: run `vidrec upload` first"
            )
        key = self.requests.job_key
        copy = Copy(copy_name(video), "", video.id, key, self.service.clock.now())
        self.log.add_copy(copy)
        if size > SLOW_BYTES:
            self.service.tell("send", f"sending {video.filename}, {size / 1e6:.0f} MB")
        copy = replace(copy, asset_id=self._sent(copy.name, path))
        self.log.add_copy(copy)
        self._await(copy.asset_id)
        return copy

    def _sent(self, name: str, path: Path) -> str:
        def send(sdk: Any) -> object:
            with path.open("rb") as file:
                return sdk.assets.create(
                    method="direct", file=(name, file, "video/mp4"), filename=name,
                    enable_hls=False, enable_thumbnail=False,
                )  # fmt: skip

        for _ in range(3):
            try:
                body = self.service.call("take the file", send, paid=True)
            except Unsure:
                if found := self._ids(name):
                    return found[0]
                continue
            return checked_id(str(body.get("_id", "")), "file")
        raise TransientError("Twelve Labs gives no clear answer to new files: run again later")

    def _await(self, asset_id: str) -> None:
        settings = self.service.settings
        for _ in self.service.clock.looks(settings.patience_sec, settings.poll_sec):
            found = self.service.call("look at the file", lambda sdk: sdk.assets.retrieve(asset_id))
            if found.get("status") == "ready":
                return
            if found.get("status") == "failed":
                reason = clean(str((found.get("error") or {}).get("message", "no reason given")))
                raise JobError(f"Twelve Labs cannot use the file: {reason}")
            self.service.tell("file", "waiting for Twelve Labs to take in a file that was sent")
        raise TransientError("Twelve Labs did not take the file in time: run again later")

    def sweep(self, video_id: str | None = None) -> list[Copy]:
        """Delete what was sent for a video, or for any; return what the service did not delete.

        What an open job reads, or another run has in hand, is let be.
        """
        copies = [copy for copy in self.log.copies() if video_id in (None, copy.video_id)]
        for number, copy in enumerate(copies):
            if self.log.claim(copy.video_id, copy.fingerprint) is not None:
                continue
            try:
                job = self.log.get(copy.video_id, copy.fingerprint)
                if job is None or job.state not in OPEN:
                    self.delete(copy)
            except EmbedderError:
                return copies[number:]
            finally:
                self.log.release(copy.video_id, copy.fingerprint)
        return []

    def delete(self, copy: Copy) -> None:
        """Delete one copy at the service, and its note.

        Raises:
            EmbedderError: the service does not do it.
        """
        for asset_id in [copy.asset_id] if copy.asset_id else self._ids(copy.name):
            delete = partial(_delete, asset_id)
            with suppress(Gone):
                self.service.call("delete the file", delete)
        self.log.forget_copy(copy.name)

    def _ids(self, name: str) -> list[str]:
        """Return the ids of what the service holds under a name."""
        body = self.service.call(
            "list its files", lambda sdk: sdk.assets.list(filename=name, page=1, page_limit=50)
        )
        rows = body.get("data") or []
        return [str(row["_id"]) for row in rows if row.get("filename") == name and row.get("_id")]


def _delete(asset_id: str, sdk: Any) -> object:
    return sdk.assets.delete(asset_id)


def copy_name(video: Video) -> str:
    """Return a name for a copy that no other has; so its job is found by it, too."""
    suffix = Path(video.filename).suffix.lower()
    safe = suffix if re.fullmatch(r"[.][a-z0-9]{1,8}", suffix) else ".mp4"
    return f"{video.id}-{uuid.uuid4().hex[:12]}{safe}"
