"""The unit of work of `embed`: tasks and outcomes that can go anywhere, one video at a time."""

import errno
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import plain, write_clip
from vidrec.embedders.base import Embedded
from vidrec.errors import MediaError, QuotaError, TransientError, failure_of
from vidrec.ingest.engines.threads import in_threads
from vidrec.ingest.plan import Task
from vidrec.ingest.remote import Remote
from vidrec.ingest.scan import Source
from vidrec.ingest.work import FirstComes, Outcome, Worker
from vidrec.library import FileStamp
from vidrec.types import Video


class NoRemote(Remote):
    def __init__(self) -> None:
        pass

    def release(self, source: Source) -> None:
        return None


def task_of(path: Path, number: int = 0) -> Task:
    return Task(Source(path, stamp=FileStamp.of(path)), "auto", number=number)


def test_tasks_and_outcomes_travel_between_processes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)
    work = Worker(NoRemote(), FirstComes(lambda video_id: False), Embedded)
    outcome = work(pickle.loads(pickle.dumps(task_of(path))))
    assert outcome is not None
    again = pickle.loads(pickle.dumps(outcome))
    assert again == outcome
    assert again.video.info.duration_sec == pytest.approx(0.3, abs=0.05)
    failed = Outcome(task_of(path), "failed", error=failure_of(ValueError("x")))
    assert "ValueError: x" in pickle.loads(pickle.dumps(failed)).error.trace


def test_a_file_that_could_not_be_read_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)

    def away(self: Path, *args: object, **kwargs: object) -> object:
        raise OSError(errno.EIO, "Input/output error")

    work = Worker(NoRemote(), FirstComes(lambda video_id: False), Embedded)
    monkeypatch.setattr(Path, "open", away)
    outcome = work(task_of(path))
    assert outcome is not None and isinstance(outcome.error, TransientError)


@pytest.mark.parametrize(("away", "kind"), [(False, MediaError), (True, TransientError)])
def test_what_a_decoder_calls_an_io_error_is_looked_into(
    tmp_path: Path, away: bool, kind: type
) -> None:
    """Where every byte can be read, the file is damaged."""
    from av.error import OSError as DecoderError

    path = write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)

    def embed_one(video: Video) -> Embedded:
        if away:
            path.write_bytes(b"other bytes")
        error = MediaError("cannot be read")
        error.__cause__ = DecoderError(errno.EIO, "Input/output error")
        return Embedded(video, error=error)

    outcome = Worker(NoRemote(), FirstComes(lambda video_id: False), embed_one)(task_of(path))
    assert outcome is not None and type(outcome.error) is kind


@pytest.mark.parametrize(("away", "kind"), [(False, MediaError), (True, TransientError)])
def test_what_looks_damaged_as_its_share_goes_away_is_not(
    tmp_path: Path, away: bool, kind: type
) -> None:
    path = write_clip(tmp_path / "a.mp4", plain("red"), seconds=0.3)

    def embed_one(video: Video) -> Embedded:
        if away:
            path.rename(tmp_path / "elsewhere.mp4")
        return Embedded(video, error=MediaError("not a video, or damaged beyond reading"))

    outcome = Worker(NoRemote(), FirstComes(lambda video_id: False), embed_one)(task_of(path))
    assert outcome is not None and type(outcome.error) is kind


@pytest.mark.parametrize("cause", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_want_is_never_damage(cause: BaseException) -> None:
    error = MediaError("not a video, or damaged beyond reading")
    error.__cause__ = cause
    assert type(failure_of(error)) is TransientError


def test_paid_videos_come_in_their_order() -> None:
    order = []

    def admit(task: Task, video: Video, stamp: FileStamp) -> Video:
        order.append(task.number)
        return video

    claim = FirstComes(lambda video_id: False, admit)
    tasks = [Task(Source(Path(str(n))), "auto", number=n) for n in range(4)]
    threads = [
        threading.Thread(target=claim, args=(task, Video(f"{task.number}", "a"), FileStamp(1, 1)))
        for task in (tasks[3], tasks[2], tasks[0])
    ]
    for thread in threads:
        thread.start()
    claim.leave(tasks[1])  # it failed before it came so far
    for thread in threads:
        thread.join(10)
    assert order == [0, 2, 3]


def test_an_error_that_ends_the_run_leaves_what_is_finished() -> None:
    def tasks() -> Iterator[Task]:
        for number in range(100):
            yield Task(Source(Path(str(number))), "auto", number=number)

    def work(task: Task) -> Outcome:
        if task.number == 5:
            raise QuotaError("no more today")
        return Outcome(task, "done")

    done = []
    with pytest.raises(QuotaError):
        for outcome in in_threads(tasks(), work, workers=2):
            done.append(outcome.task.number)
    assert set(range(5)) <= set(done) and len(done) < 100


def test_an_interrupt_does_not_wait_for_what_hangs() -> None:
    cancel, stuck = threading.Event(), threading.Event()

    def work(task: Task) -> Outcome:
        if task.number == 1:
            stuck.wait(60)
        return Outcome(task, "done")

    tasks = iter([Task(Source(Path(str(n))), "auto", number=n) for n in range(9)])
    done = []
    for outcome in in_threads(tasks, work, workers=2, cancelled=cancel.is_set, patience_sec=0.2):
        done.append(outcome.task.number)
        if len(done) == 8:
            cancel.set()
    assert sorted(done) == [0, *range(2, 9)]
    stuck.set()
