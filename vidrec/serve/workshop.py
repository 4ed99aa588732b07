"""Workshop: what browsers can show is made of videos, once, and kept as long as there is room.

A few threads work. Of one video one thing is made at a time; what was asked for last is made
first, what nobody has asked for in a while is not made at all, and one thread is kept for what is
made in no time: pictures never wait for films.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from vidrec.errors import Cancelled
from vidrec.serve.problems import Problem, log

WANTED_SECONDS = 30.0  # how long a wish counts that is not repeated
FAILED_SECONDS = 60.0  # how long what failed is not tried again
MOST_WAITING = 500

# Writes a file and tells, from 0 to 1, how far it is; that raises where the server ends.
Make: TypeAlias = Callable[[Path, Callable[[float], None]], None]


@dataclass(eq=False)
class Job:
    """Something that is being made, or waits for it."""

    name: str
    video_id: str
    make: Make
    wanted: float
    long: bool = False
    progress: float = 0.0
    running: bool = False
    done: Future[Path] = field(default_factory=Future)


class Workshop:
    """Makes files and keeps them, up to so many bytes."""

    def __init__(self, kept: Path, drafts: Path, most_bytes: int, workers: int = 3) -> None:
        """Begin with what an earlier server kept.

        Args:
            kept: the folder of finished files, which servers share.
            drafts: a folder of this server's own on the same disk.
            most_bytes: what the finished files may take.
            workers: how many things are made at once.
        """
        self._kept, self._drafts, self._most = kept, drafts, most_bytes
        kept.mkdir(parents=True, exist_ok=True)
        drafts.mkdir(parents=True, exist_ok=True)
        self._jobs: dict[str, Job] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._most_long = max(1, workers - 1)
        self._changed = threading.Condition()
        self._closed = False
        self._make_room()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"workshop-{number}", daemon=True).start()

    def finished(self, name: str) -> Path | None:
        """Return a file that was made, if it is there; it counts as used now."""
        path = self._kept / name
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def ask(self, name: str, video_id: str, make: Make, *, long: bool = False) -> Job:
        """Have a file made, if it is not in work already; ``long`` if it takes seconds.

        Raises:
            Problem: it failed a moment ago, or too much is waiting.
        """
        now = time.monotonic()
        with self._changed:
            failed_at, reason = self._failed.get(name, (-FAILED_SECONDS, ""))
            if now - failed_at < FAILED_SECONDS:
                raise Problem(422, "usage", reason)
            job = self._jobs.get(name)
            if job is None:
                if len(self._jobs) >= MOST_WAITING:
                    raise Problem(503, "busy", "too much is being made: try again")
                job = self._jobs[name] = Job(name, video_id, make, now, long)
                self._changed.notify_all()
            job.wanted = now
            return job

    @property
    def waiting(self) -> int:
        """How many things are being made or wait for it."""
        return len(self._jobs)

    def is_closed(self) -> bool:
        """Whether the server ends."""
        return self._closed

    def close(self) -> None:
        """Let nothing more be made; what is in work ends soon."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            path, error = None, None
            try:
                path = self._made(job)
            except Exception as exc:
                error = exc
            with self._changed:
                del self._jobs[job.name]
                if error is not None and not isinstance(error, Cancelled):
                    self._failed = {
                        name: failed for name, failed in self._failed.items()
                        if time.monotonic() - failed[0] < FAILED_SECONDS
                    }  # fmt: skip
                    self._failed[job.name] = (time.monotonic(), "this video cannot be shown here")
                self._changed.notify_all()
            if path is not None:
                job.done.set_result(path)
            else:
                assert error is not None
                job.done.set_exception(error)

    def _next(self) -> Job | None:
        """Wait for something to do; None once the workshop is closed."""
        with self._changed:
            while not self._closed:
                self._drop_unwanted()
                running = [job for job in self._jobs.values() if job.running]
                busy = {job.video_id for job in running}
                full = sum(job.long for job in running) >= self._most_long
                free = [
                    job for job in self._jobs.values()
                    if not job.running and job.video_id not in busy and not (job.long and full)
                ]  # fmt: skip
                if free:
                    job = max(free, key=lambda job: job.wanted)
                    job.running = True
                    return job
                self._changed.wait(WANTED_SECONDS)
        return None

    def _drop_unwanted(self) -> None:
        late = time.monotonic() - WANTED_SECONDS
        for job in [*self._jobs.values()]:
            if not job.running and job.wanted < late:
                del self._jobs[job.name]
                job.done.cancel()

    def _made(self, job: Job) -> Path:
        draft, path = self._drafts / job.name, self._kept / job.name

        def report(share: float) -> None:
            job.progress = min(0.99, max(job.progress, share))
            if self._closed:
                raise Cancelled("the server ends")

        try:
            job.make(draft, report)
            draft.replace(path)
        except Cancelled:
            raise
        except Exception as exc:
            log.warning("%s cannot be made: %s: %s", job.name, type(exc).__name__, exc)
            raise
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        job.progress = 1.0
        self._make_room()
        return path

    def _make_room(self) -> None:
        """Delete what was used longest ago until the rest is no more than it may be."""
        files = []
        for path in self._kept.glob("*"):
            with suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._most:
                return
            with suppress(OSError):  # where files in use cannot be deleted
                path.unlink()
                total -= size
