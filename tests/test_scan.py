"""Which files a folder gives: links, bins of storage systems, patterns that are left out."""

import os
from pathlib import Path

import pytest

from vidrec.ingest.scan import find_sources


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def found(root: Path, *exclude: str) -> list[str]:
    return [str(s.path.relative_to(root)) for s in find_sources([root], exclude) if not s.problem]


def test_bins_and_caches_of_storage_systems_are_left_out(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.mp4", "@eaDir/a.mp4/SYNO.mp4", "#recycle/b.mp4", "$RECYCLE.BIN/S-1/c.mp4",
        ".Trash-1000/files/d.mp4", "x/@Recycle/e.mp4", "System Volume Information/f.mp4",
        ".hidden.mp4", "x/g.mp4", "@eaDirs/h.mp4", "~snapshot/nightly.0/i.mp4",
        "Network Trash Folder/j.mp4",
    )  # fmt: skip
    assert found(tmp_path) == ["a.mp4", "@eaDirs/h.mp4", "x/g.mp4"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("old", ["b.mp4", "x/c.mp4"]),
        ("x/*", ["b.mp4", "old/a.mp4"]),
        ("*.mp4", []),
        ("x/old", ["b.mp4", "old/a.mp4", "x/c.mp4"]),
        ("./x/", ["b.mp4", "old/a.mp4"]),
        ("**/old", ["b.mp4", "x/c.mp4"]),
        ("**/old/d.mp4", ["b.mp4", "old/a.mp4", "x/c.mp4"]),
        ("{}/x/", ["b.mp4", "old/a.mp4"]),
        ("nothing", ["b.mp4", "old/a.mp4", "x/c.mp4", "x/old/d.mp4"]),
    ],
)
def test_what_fits_a_pattern_is_left_out(tmp_path: Path, pattern: str, left: list[str]) -> None:
    touch(tmp_path, "old/a.mp4", "b.mp4", "x/c.mp4", "x/old/d.mp4")
    assert sorted(found(tmp_path, pattern.format(tmp_path))) == left


def test_a_pattern_may_be_a_path_as_the_folder_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "v/old/a.mp4", "v/b.mp4")
    monkeypatch.chdir(tmp_path)
    (source,) = find_sources(["v"], ["v/old"])
    assert source.path == tmp_path / "v" / "b.mp4"


def test_folders_that_are_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "films/a.mp4", "nas/b.mp4", "nas/deep/c.mp4")
    (tmp_path / "films" / "nas").symlink_to("../nas")
    (tmp_path / "films" / "again").symlink_to("../nas/deep")
    (tmp_path / "films" / "loop").symlink_to(".")
    (tmp_path / "nas" / "up").symlink_to("../films")
    (tmp_path / "films" / "gone").symlink_to("nowhere")
    names = [path.rpartition("/")[2] for path in found(tmp_path / "films")]
    assert sorted(names) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_pipe_with_a_videos_name_is_never_opened(tmp_path: Path) -> None:
    from tests.test_pipeline import vidrec

    os.mkfifo(tmp_path / "f.mp4")
    said = vidrec("embed", tmp_path, "-f", "table", code=4).stderr
    assert "f.mp4: not a regular file" in said
