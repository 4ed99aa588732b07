"""One video, one library and the embedder marengo, against a stand-in of its service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.standin_twelvelabs import TwelveLabsStandIn
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders.base import EmbedContext, Embedded
from vidrec.embedders.marengo.embedder import MarengoEmbedder
from vidrec.embedders.marengo.pace import Clock
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.library.jobs import CatalogJobs
from vidrec.types import Video, VideoInfo

CREATE = "^POST /embed-v2/tasks$"
POLL = "^GET /embed-v2/tasks/"
TEXT = "^POST /embed-v2$"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwelveLabsStandIn]:
    with TwelveLabsStandIn() as standin:
        for name in ("TWELVELABS_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "marengo")
        monkeypatch.setenv("VIDREC_MARENGO_API_KEY", standin.key)
        monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", standin.url)
        monkeypatch.setenv("VIDREC_MARENGO_RPM", "60000")
        yield standin


@dataclass
class FastClock:
    """A clock that only moves when someone sleeps; it remembers how long."""

    time: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep, steady=lambda: self.time)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.on_sleep()


@dataclass
class Bench:
    """One video, one library, one embedder at a time."""

    service: TwelveLabsStandIn
    video: Video
    library: Library
    time: FastClock

    def embedder(self, **changes: object) -> MarengoEmbedder:
        overrides = {f"marengo.{name}": value for name, value in changes.items()}
        return MarengoEmbedder(load_settings(overrides=overrides), self.time.clock())

    def embed(self, *, force: bool = False, **changes: object) -> Embedded:
        context = EmbedContext(jobs=CatalogJobs(self.library), force=force)
        (outcome,) = self.embedder(**changes).embed_videos([self.video], context)
        return outcome

    @property
    def created(self) -> int:
        return len(self.service.tasks)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("v") / "dark forest.mp4", seconds=14)


@pytest.fixture
def bench(service: TwelveLabsStandIn, tmp_path: Path, forest: Path) -> Iterator[Bench]:
    path = forest
    fast = FastClock()
    service.clock = lambda: fast.time
    video = Video(
        hash_file(path), path.name, path, size=path.stat().st_size, info=VideoInfo(14.0, 360, 360)
    )
    with Library(tmp_path / "library") as library:
        yield Bench(service, video, library, fast)
