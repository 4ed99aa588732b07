"""The engine of many machines: the same tasks, done by Ray actors that keep their model loaded.

Each actor fetches, hashes, probes and embeds one video at a time; the driver commits what comes
back. At most one task an actor is on its way, so that memory does not grow with their number. A
task whose worker dies is given to another; one that kills several is a failure of its own.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from pydantic import BaseModel, SecretStr

from vidrec import __version__
from vidrec.config import Settings
from vidrec.errors import EmbedderError, TransientError, VidrecError
from vidrec.files import is_file
from vidrec.ingest.plan import Task
from vidrec.ingest.work import FirstComes, Outcome, Worker

TRIES = 3  # a task is given to a worker so often, if each dies of it
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """What an actor is made of; all of it is the driver's and has to fit there."""

    settings: Settings
    fingerprint: str
    force: bool = False
    shard: tuple[int, int] | None = None
    version: str = __version__


class Actor:
    """One worker process; its model is loaded once."""

    def __init__(self, order: Order, done: frozenset[str]) -> None:
        """Remember what is asked; ``ready`` does it, so that what is wrong comes back as words."""
        self._order = order
        self._done = done
        self._work: Worker | None = None

    def ready(self) -> str:
        """Load the model; return what is wrong, or ''."""
        import vidrec

        order = self._order
        if vidrec.__version__ != order.version:
            return f"has vidrec {vidrec.__version__}, this is {order.version}: install the same"
        try:
            self._work = self._prepared()
        except Exception as exc:
            return f"cannot begin: {' '.join(str(exc).split()) or type(exc).__name__}"
        if self._work is None:
            return (
                f"makes other vectors than {order.fingerprint}: the same models, checkpoint and "
                "packages are needed on every machine"
            )
        return ""

    def _prepared(self) -> Worker | None:
        from vidrec.embedders import load_embedder
        from vidrec.embedders.base import EmbedContext
        from vidrec.ingest.remote import Remote

        order = self._order
        embedder = load_embedder(order.settings)
        if str(embedder.fingerprint) != order.fingerprint:
            return None
        context = EmbedContext(clip_seconds=order.settings.embedder.clip_seconds, workers=1)
        embed_one = embedder.run(context).__enter__()
        return Worker(
            Remote(order.settings),
            FirstComes(lambda video_id: not order.force and video_id in self._done),
            embed_one,
            probes=embedder.probes,
            shard=order.shard,
        )

    def work(self, task: Task) -> Outcome | VidrecError:
        """Do one task; what ends a run is returned, as it travels better."""
        assert self._work is not None
        try:
            outcome = self._work(task)
        except VidrecError as exc:
            return exc
        assert outcome is not None
        return outcome


def without_keys(settings: Settings) -> Settings:
    """Return settings without the keys of services: what is paid for is done by the driver."""
    copy = settings.model_copy(deep=True)
    for name in type(copy).model_fields:
        section = getattr(copy, name)
        for key in type(section).model_fields if isinstance(section, BaseModel) else ():
            if isinstance(getattr(section, key), SecretStr):
                setattr(section, key, None)
    return copy


def on_ray(
    tasks: Iterator[Task],
    order: Order,
    done: frozenset[str],
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    may_begin: Callable[[int], bool] = lambda in_work: True,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Yield each task's outcome as it is done, in any order.

    ``done`` are the ids of videos that need not be embedded. ``workers`` is by default what the
    cluster has room for.

    Raises:
        EmbedderError: no cluster answers, or a worker cannot do the work: another vidrec, another
            fingerprint, a package that is missing.
    """
    with _connected(address) as ray:
        room = int(ray.cluster_resources().get("CPU", 1) // cpus)
        crew = _Crew(ray, order, ray.put(done), workers or max(1, room), cpus, gpus)
        try:
            yield from crew.run(tasks, may_begin, cancelled)
        finally:
            crew.dismiss()


def meant(address: str | None) -> str:
    """Return the cluster that is meant: where none is named, a new one on this machine.

    Left alone, Ray would look for one that was started here last, for minutes if it was killed.
    """
    named = address or os.environ.get("RAY_ADDRESS") or "local"
    note = Path(os.environ.get("RAY_TMPDIR") or gettempdir(), "ray", "ray_current_cluster")
    if named == "auto" and is_file(note):
        named = note.read_text("utf-8").strip()
    return named


def _knock(address: str) -> None:
    """Raise ``OSError`` where nobody listens; Ray would ask for a minute."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Join a cluster, or start one on this machine where none is named.

    Raises:
        EmbedderError: it cannot be reached.
    """
    import ray

    if ray.is_initialized():  # whoever did it keeps it
        yield ray
        return
    handler = signal.getsignal(signal.SIGTERM)
    where = meant(address)
    try:
        _knock(where)
        ray.init(where, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as exc:
        where = "on this machine" if where == "local" else where
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise EmbedderError(f"no Ray cluster {where}: {reason}") from exc
    with suppress(ValueError):  # Ray takes the signal for itself
        signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(slots=True)
class _Crew:
    """The actors of one run, and what each does."""

    ray: Any
    order: Order
    done: Any
    size: int
    cpus: float
    gpus: float
    idle: list[Any] = field(default_factory=list)
    # What is under way: an actor that gets ready (None), or its task.
    flying: dict[Any, tuple[Any, Task | None]] = field(default_factory=dict)
    again: deque[Task] = field(default_factory=deque)
    deaths: dict[str, int] = field(default_factory=dict)
    proven: bool = False  # one actor has become ready

    def run(
        self,
        tasks: Iterator[Task],
        may_begin: Callable[[int], bool],
        cancelled: Callable[[], bool],
    ) -> Iterator[Outcome]:
        for _ in range(self.size):
            self._hire()
        seen: set[str] = set()
        while not cancelled():
            self._give(tasks, may_begin)
            in_work = sum(task is not None for _, task in self.flying.values())
            if not in_work and not self.again and self.idle:
                return
            ready, _ = self.ray.wait(list(self.flying), num_returns=1, timeout=_LOOK_SECONDS)
            for ref in ready:
                outcome = self._came(ref)
                if outcome is not None:
                    yield _once(outcome, seen)

    def dismiss(self) -> None:
        for actor in [*self.idle, *(actor for actor, _ in self.flying.values())]:
            self.ray.kill(actor)

    def _hire(self) -> None:
        actor = (
            self.ray.remote(Actor)
            .options(num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=0, max_task_retries=0)
            .remote(self.order, self.done)
        )
        self.flying[actor.ready.remote()] = (actor, None)

    def _give(self, tasks: Iterator[Task], may_begin: Callable[[int], bool]) -> None:
        while self.idle:
            in_work = sum(task is not None for _, task in self.flying.values())
            if not may_begin(in_work):
                return
            task = self.again.popleft() if self.again else next(tasks, None)
            if task is None:
                return
            actor = self.idle.pop()
            self.flying[actor.work.remote(task)] = (actor, task)

    def _came(self, ref: Any) -> Outcome | None:
        """Take what an actor gave back, or see to its end."""
        actor, task = self.flying.pop(ref)
        try:
            answer = self.ray.get(ref)
        except self.ray.exceptions.RayError as exc:
            return self._died(task, exc)
        if task is None:
            if answer:
                raise EmbedderError(f"a worker of the cluster {answer}")
            self.proven = True
            self.idle.append(actor)
            return None
        if isinstance(answer, VidrecError):
            raise answer
        self.idle.append(actor)
        return answer  # type: ignore[no-any-return]

    def _died(self, task: Task | None, exc: Exception) -> Outcome | None:
        reason = " ".join(str(exc).split())[:200]
        if task is None:
            if not self.proven:
                raise EmbedderError(f"a worker of the cluster cannot begin: {reason}") from exc
            self._hire()
            return None
        self._hire()
        name = task.source.name
        self.deaths[name] = self.deaths.get(name, 0) + 1
        if self.deaths[name] < TRIES:
            self.again.append(task)
            return None
        error = TransientError(f"{TRIES} workers died of it, one after another")
        return Outcome(task, "failed", stamp=task.source.stamp, error=error)


def _once(outcome: Outcome, seen: set[str]) -> Outcome:
    """Let of two copies, embedded at the same time, one count."""
    if outcome.verdict != "work" or outcome.video is None:
        return outcome
    if outcome.video.id in seen:
        return replace(outcome, verdict="done", embeddings=(), warnings=())
    seen.add(outcome.video.id)
    return outcome
