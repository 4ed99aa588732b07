"""The demo: clips rendered from photographs, and commands that are printed and run as printed."""

import shlex
import sys
from pathlib import Path

import av
import cv2  # noqa: F401  (what the clips are drawn with)
import numpy as np
import pytest
from typer.testing import CliRunner

from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.datasets import demo_clips
from vidrec.datasets.demo_clips import CLIPS, DemoClip, Shot, render_clip, shot_frames
from vidrec.demo import CLIP, prepare
from vidrec.errors import DatasetError

pytest.importorskip("skimage")

# What is right for each query, by the beginning of the file's name.
RIGHT = (
    ("coffee", "morning"),
    ("rocket", "space-programme"),
    ("galaxies", "space-programme", "rocket"),
    ("cat", "morning"),
)


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_every_clip_can_be_rendered_from_what_the_wheel_holds() -> None:
    photos = demo_clips.photographs()
    assert len({clip.path for clip in CLIPS}) == len(CLIPS)
    for clip in CLIPS:
        assert 4 <= sum(shot.seconds for shot in clip.shots) <= 6
        for shot in clip.shots:
            assert next(shot_frames(shot, photos)).shape == (270, 480, 3)
            for view in (shot.start, shot.end):
                x, y, width = view
                assert 0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1


def test_a_clip_is_rendered_once_with_its_cut(tmp_path: Path) -> None:
    (clip,) = [clip for clip in CLIPS if clip.path == "Mixed/morning.mp4"]
    assert render_clip(clip, tmp_path, demo_clips.photographs())
    path = tmp_path / clip.path
    frames = decoded(path)
    assert frames.shape == (150, 270, 480, 3)
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert change.argmax() == 74  # from the last frame of the first shot to the next
    assert change[74] > 10 * np.median(change)
    before = path.stat()
    assert not render_clip(clip, tmp_path, demo_clips.photographs())
    assert path.stat() == before
    assert [file.name for file in path.parent.iterdir()] == ["morning.mp4"]


def test_the_camera_shows_what_it_looks_at() -> None:
    photos = demo_clips.photographs()
    still = (0, 0, 1)
    first, *_, last = shot_frames(Shot("color.png", 0.2, still, (1, 1, 0.5)), photos)
    again = next(shot_frames(Shot("color.png", 1, still, still), photos))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, last)
    # The picture's upper left is black, and so is its lower right corner.
    assert first[:5, :5].max() < 20 and last[-5:, -5:].max() < 20


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = DemoClip("a/b.mp4", (Shot("absent.png", 1, (0, 0, 1), (0, 0, 1)),))
    with pytest.raises(DatasetError, match=r"absent\.png is missing"):
        render_clip(clip, tmp_path, demo_clips.photographs())
    assert not list(tmp_path.rglob("*.mp4"))
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot write"):
        render_clip(CLIPS[0], tmp_path / "file", demo_clips.photographs())
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError):
        prepare(load_settings(), tmp_path)


def test_the_commands_stay_in_the_demos_folder(tmp_path: Path) -> None:
    dest = tmp_path / "demo"
    target = dest / "clips" / CLIP
    target.parent.mkdir(parents=True)
    for clip in CLIPS:  # they are there already: nothing is rendered
        (dest / "clips" / clip.path).parent.mkdir(exist_ok=True)
        (dest / "clips" / clip.path).touch()
    plain = prepare(load_settings(), dest)
    assert (plain.rendered, plain.kept, plain.environment) == (0, len(CLIPS), {})
    assert not [word for command in plain.commands for word in command if word == "--embedder"]
    assert "index" not in [command[0] for command in plain.commands]
    own = {"embedder.name": "marengo", "store.name": "qdrant", "knn.path": tmp_path / "mine"}
    careful = prepare(load_settings(overrides=own), dest)
    assert careful.environment == {"VIDREC_KNN_PATH": str(dest / "library" / "knn")}
    for command in careful.commands:
        line = shlex.join(command)
        assert "--embedder conse" in line and f"--library {dest}/library" in line
        assert ("--store knn" in line) == (command[0] != "embed")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_answers_rightly_and_can_be_typed_again(tmp_path: Path) -> None:
    dest = tmp_path / "my demo"
    done = CliRunner().invoke(app, ["demo", "--dest", str(dest)])
    assert done.exit_code == 0, done.output
    head, *blocks = done.stdout.split("\n$ ")
    assert head == ""
    commands = [shlex.split(block.splitlines()[0]) for block in blocks]
    assert [command[1] for command in commands] == ["embed", *["recommend"] * 4]
    for block, right in zip(blocks[1:], RIGHT, strict=True):
        rows = [line.split() for line in block.splitlines() if line.strip()[:1].isdigit()]
        names = [row[4] for row in rows]
        assert len(names) == 3 and all(name.startswith(right) for name in names), block
    moments = {
        row[4]: row[5] for row in (line.split() for line in blocks[1].splitlines()) if row[5:]
    }
    assert moments["morning.mp4"] == "0:03–0:06"  # the coffee comes after the cut
    for command, block in zip(commands[1:], blocks[1:], strict=True):
        again = CliRunner().invoke(app, command[1:])
        assert again.stdout.strip() == block.partition("\n")[2].strip()
    twice = CliRunner().invoke(app, ["demo", "--dest", str(dest)])
    assert twice.exit_code == 0
    assert f"rendered 0 clips, kept {len(CLIPS)} in" in twice.stderr
    assert twice.stdout.split("\n$ ")[2:] == blocks[1:]
