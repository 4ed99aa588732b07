"""What `embed --dry-run` says is what `embed` then does, whatever there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import word_embedder
from tests.clips import plain, write_clip
from vidrec.config import load_settings
from vidrec.ingest.embed import EmbedOptions, EmbedReport, embed
from vidrec.library import Library

Embed = Callable[..., tuple[EmbedReport, list[Any]]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seconds, name in enumerate(("red", "blue", "green"), 2):
        write_clip(folder / f"{name}.mp4", plain(name), seconds=seconds / 5)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embed:
    word_embedder.install(tmp_path, monkeypatch, "colours", "tests.embedder_kinds:ColourEmbedder")
    flags = {"embedder.name": "colours", "embedder.workers": 1}

    def embedded(paths: list[Path] | None, **options: Any) -> tuple[EmbedReport, list[Any]]:
        told: list[Any] = []
        report = embed(
            load_settings(overrides=flags), paths, EmbedOptions(**options), told=told.append
        )
        return report, told

    return embedded


def moved(folder: Path) -> None:
    (folder / "a.mp4").rename(folder / "z.mp4")


def mended(folder: Path) -> None:
    shutil.copy(folder / "b.mp4", folder / "bad.mp4")


def gone(folder: Path) -> None:
    (folder / "a.mp4").unlink()
    (folder / "bad.mp4").unlink()


def damaged(folder: Path) -> None:
    (folder / "a.mp4").write_bytes(b"no longer a video")


def new(folder: Path) -> None:
    shutil.copy(folder / "b.mp4", folder / "copy.mp4")
    shutil.copy(folder / "c.film", folder / "new.mp4")


def nothing(folder: Path) -> None:
    return None


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("change", [nothing, moved, mended, gone, damaged, new])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"force": True}, {"retry_failed": True}, {"alone": True}, {"limit": 1}, {"limit": 2},
        {"shard": (1, 2)}, {"exclude": ("b*",)}, {"force": True, "limit": 1},
    ],
    ids=str,
)  # fmt: skip
def test_the_plan_is_what_is_done(
    clips: Path, run: Embed, tmp_path: Path, before: bool, change: Callable[[Path], None],
    options: dict[str, Any],
) -> None:  # fmt: skip
    folder = tmp_path / "v"
    folder.mkdir()
    for name, clip in (("a.mp4", "red"), ("b.mp4", "blue"), ("c.film", "green")):
        shutil.copy(clips / f"{clip}.mp4", folder / name)
    (folder / "bad.mp4").write_bytes(b"no video")
    (folder / "empty.mp4").write_bytes(b"")
    if before:
        run([folder])
    change(folder)
    wished = {"retry_failed": True} if "alone" in options else options
    paths = None if "alone" in options else [folder, folder / "missing.mp4"]
    plan, _ = run(paths, dry_run=True, **wished)
    done, told = run(paths, **wished)
    assert [name for name, _ in plan.todo] == sources(told, "embedded")
    assert [name for name, _ in plan.problems] == sources(told, "failed")
    assert [why for _, why in plan.problems] == [row["error"] for row in told if "error" in row]
    assert counts(plan) == counts(done)


def sources(told: list[Any], status: str) -> list[str]:
    return [row["source"] for row in told if row["status"] == status]


def counts(report: EmbedReport) -> tuple[int, ...]:
    return report.skipped, report.known_failures, report.left, report.elsewhere, report.over_cap


def test_a_folder_that_opens_again_is_walked_by_retry_failed(
    clips: Path, run: Embed, tmp_path: Path
) -> None:
    """It was recorded itself, as nobody knew what it holds."""
    folder = tmp_path / "v" / "share"
    folder.mkdir(parents=True)
    shutil.copy(clips / "red.mp4", folder / "a.mp4")
    with Library(tmp_path / "library") as library:
        library.record_failure("colours", str(folder), "Permission denied", permanent=False)
    report, _ = run(None, retry_failed=True)
    assert report.videos == 1
    with Library(tmp_path / "library") as library:
        assert library.failures() == []
