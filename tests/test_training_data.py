"""What training reads: folders of labelled clips, grids of frames, the cache of clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.actions import CLASSES, write_action, write_actions
from vidrec.datasets.folder import read_dataset
from vidrec.errors import DatasetError, MediaError, TrainingError
from vidrec.models.clip_cache import build_clip_cache
from vidrec.models.windows import Sampling, read_grid
from vidrec.training.train import TrainOptions

TINY = TrainOptions(frames=3, frame_step=5, size=32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_actions(tmp_path_factory.mktemp("data") / "actions")


# The data set


def test_a_class_folder_is_split_by_group(dataset: Path) -> None:
    clips = read_dataset(dataset, seed=0)
    assert len(clips) == 20
    for label in CLASSES:
        sides = {clip.split for clip in clips if clip.label == label}
        assert sides == {"train", "val", "test"}
    homes: dict[str, set[str]] = {}
    for clip in clips:
        homes.setdefault(clip.group, set()).add(clip.split)
    assert all(len(sides) == 1 for sides in homes.values())
    assert clips == read_dataset(dataset, seed=0) != read_dataset(dataset, seed=1)


def test_missing_splits_come_out_of_training(tmp_path: Path) -> None:
    for side in ("train", "test"):
        for label in CLASSES:
            for number in range(4):
                write_action(tmp_path / side / label / f"{number}.mp4", label, number, 2)
    clips = read_dataset(tmp_path, seed=0)
    counts = {side: sum(clip.split == side for clip in clips) for side in ("train", "val", "test")}
    assert counts == {"train": 6, "val": 2, "test": 8}


@pytest.mark.parametrize(
    ("classes", "message"), [((), "no labelled clip"), (("Moving",), r"one class \(Moving\)")]
)
def test_nothing_to_tell_apart(tmp_path: Path, classes: tuple[str, ...], message: str) -> None:
    for label in classes:
        write_action(tmp_path / label / "a.mp4", label, 0, 2)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path, seed=0)
    with pytest.raises(DatasetError, match="no such folder"):
        read_dataset(tmp_path / "nowhere", seed=0)


def test_an_unfinished_download_is_not_a_smaller_data_set(tmp_path: Path) -> None:
    root = write_actions(tmp_path)
    (root / "manifest.json").write_text(json.dumps({"clips": [{"file": "train/A/b.avi"}]}))
    with pytest.raises(DatasetError, match=r"lacks 1 of the 1 clips .* fetch-ucf"):
        read_dataset(root, seed=0)


# Sampling and cache


def test_grid_of_a_long_clip_has_the_step_asked_for() -> None:
    sampling = Sampling(n_frames=10, frame_step=15)
    times = sampling.grid_times(20.0, 30.0)
    assert len(times) == 16
    assert np.allclose(np.diff(times), 0.6)
    assert times[0] - 20 == pytest.approx(30 - times[-1])
    assert sampling.n_starts(len(times)) == 7
    assert sampling.spread(16, 3) == [0, 3, 6]
    assert sampling.spread(10, 3) == [0]


def test_grid_of_a_short_clip_is_denser_not_black() -> None:
    sampling = Sampling(n_frames=10, frame_step=15)
    times = sampling.grid_times(0.0, 2.0)
    assert len(times) == 10
    assert times[0] >= 0 and times[-1] <= 2.0 and np.allclose(np.diff(times), 0.2)
    assert len(sampling.grid_times(0.0, 0.0)) == 10


def test_phases_make_the_grid_finer_and_keep_the_step() -> None:
    sampling = Sampling(n_frames=4, frame_step=10, phases=3)
    times = np.array(sampling.grid_times(0.0, 10.0))
    for start in (0, 1, sampling.n_starts(len(times)) - 1):
        window = sampling.window(times, start)
        assert len(window) == 4 and np.allclose(np.diff(window), 0.4)


def test_the_grid_shows_the_frames_at_its_times(tmp_path: Path) -> None:
    from tests.videos import frame_number, write_video

    path = write_video(tmp_path / "numbered.mp4", 50)  # 2 s
    sampling = Sampling(n_frames=3, frame_step=10, size=96, fit="squash")
    times = sampling.grid_times(0.0, 2.0)
    grid, n_seen = read_grid(path, times, sampling)
    assert n_seen == len(times) == 5
    assert [frame_number(frame) for frame in grid] == [int(t * 25 + 1e-3) for t in times]


def test_what_a_file_lacks_at_its_end_is_the_last_frame(tmp_path: Path) -> None:
    path = write_action(tmp_path / "a.mp4", "Moving", 0)  # 1 s
    sampling = Sampling(n_frames=3, frame_step=10, size=32)
    grid, n_seen = read_grid(path, [0.0, 0.9, 5.0], sampling)
    assert n_seen == 2 and (grid[2] == grid[1]).all() and grid.any()
    assert read_grid(path, [5.0], sampling)[1] == 0


def test_cache_is_made_once_and_skips_what_cannot_be_read(tmp_path: Path) -> None:
    made: list[str] = []

    def produce(path: Path) -> np.ndarray:
        made.append(path.name)
        if path.name == "bad":
            raise MediaError("no video")
        return np.full((len(path.name), 2, 2), len(path.name), np.uint8)

    clips = [Path(name) for name in ("a", "bad", "ccccc", "dd")]
    told: list[tuple[str, str | None]] = []
    for _ in range(2):
        grids, unreadable = build_clip_cache(
            tmp_path / "key", clips, produce, on_clip=lambda p, why: told.append((p.name, why))
        )
        assert [len(grid) for grid in grids] == [1, 0, 5, 2]
        assert (grids[2] == 5).all() and unreadable == {1: "no video"}
    assert sorted(made) == ["a", "bad", "ccccc", "dd"]
    assert told == [("a", None), ("bad", "no video"), ("ccccc", None), ("dd", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_truncated_cache_is_made_anew_and_no_clip_at_all_is_an_error(tmp_path: Path) -> None:
    def refuse(path: Path) -> np.ndarray:
        raise MediaError("no video")

    with pytest.raises(TrainingError, match="none of the 1 clips"):
        build_clip_cache(tmp_path / "none", [Path("a")], refuse)
    ones = lambda path: np.ones((2, 3), np.uint8)  # noqa: E731
    build_clip_cache(tmp_path / "key", [Path("a")], ones)
    (tmp_path / "key" / "data.bin").write_bytes(b"1")
    assert build_clip_cache(tmp_path / "key", [Path("a")], ones)[0][0].tolist() == [[1, 1, 1]] * 2
