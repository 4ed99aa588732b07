"""Tables: what is shortened, left out or stacked where the terminal is narrow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vidrec.library import Library
from vidrec.table import Cell, Table, shortened, telling_folders, width_of
from vidrec.types import Video

ROWS = [
    ["1", "0.93", "a-rather-long-name-of-a-video-from-the-holidays-2021.mp4", "0:03"],
    ["2", "0.12", "short.mp4", "1:00:02"],
]
TABLE = Table(["#", "score", "video", "length"], ROWS, right=("#", "score", "length"),
              spare=("length",))  # fmt: skip


def test_names_are_shortened_in_the_middle_and_numbers_are_not() -> None:
    lines = list(TABLE.lines(50))
    assert re.search(r"a-rather\S+…\S+2021\.mp4 +0:03$", lines[2])
    assert lines[3].endswith("1:00:02")


def test_a_column_that_can_be_spared_goes_before_the_rows_are_stacked() -> None:
    narrow = list(TABLE.lines(28))
    assert "length" not in narrow[0] and len(narrow) == 4
    stacked = list(TABLE.lines(20))
    assert stacked[:4] == ["#       1", "score   0.93", f"video   {ROWS[0][2]}", "length  0:03"]
    assert stacked[4:6] == ["", "#       2"]


@pytest.mark.parametrize("width", range(26, 90))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(width_of(line) <= width for line in TABLE.lines(width))


def test_without_a_terminal_nothing_is_shortened() -> None:
    assert ROWS[0][2] in list(TABLE.lines(None))[2]


def test_wide_letters_and_marks_are_counted_as_they_are_shown() -> None:
    assert (width_of("ねこ"), width_of("e\u0301"), width_of("abc")) == (4, 1, 3)
    assert width_of(shortened("ねこがねている.mp4", 9)) <= 9
    lines = list(Table(["name", "x"], [["ねこ", "1"], ["cat", "2"]]).lines(None))
    assert [width_of(line) for line in lines] == [7, 7, 7, 7]


def test_colours_and_links_take_no_room_and_notes_stand_below() -> None:
    rows = [[Cell("a.mp4", link="file:///a.mp4"), Cell("0.9", "green")]]
    under = [["why: it is like the picture of a dog that was asked with"]]
    dressed = list(Table(["video", "conf."], rows, under=under).lines(40, dressed=True))
    bare = [re.sub(r"\x1b\]8;;[^\x1b]*\x1b\\|\x1b\[\d+m", "", line) for line in dressed]
    assert bare == list(Table(["video", "conf."], rows, under=under).lines(40))
    assert bare[3:] == ["    why: it is like the picture of a dog", "      that was asked with"]
    assert "\x1b]8;;file:///a.mp4\x1b\\a.mp4\x1b]8;;" in dressed[2] and "\x1b[32m0.9" in dressed[2]


def test_folders_tell_files_of_one_name_apart() -> None:
    names, places = ["a.mp4", "a.mp4"], ["/v/cats/1/a.mp4", "/v/dogs/a.mp4"]
    assert telling_folders(names, places) == ["cats/1", "dogs"]
    assert telling_folders(["a.mp4", "b.mp4"], places) == ["", ""]
    assert telling_folders(names, ["s3://b/x/a.mp4", None]) == ["s3://b/x", ""]
    assert telling_folders(names, ["C:\\v\\a.mp4", "/v/a.mp4"]) == ["", "/v"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_list_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    import pty

    with Library(tmp_path / "library") as made:
        for number, name in enumerate(["one/a.mp4", "two/a.mp4", f"three/{'long' * 15}.mp4"]):
            made.add_video(Video(f"{number:064x}", Path(name).name, Path("/videos", name)))
    lead, follow = pty.openpty()
    with os.fdopen(follow, "wb") as terminal, os.fdopen(lead, "rb", buffering=0) as screen:
        subprocess.run(
            [sys.executable, "-m", "vidrec", "list"], stdout=terminal, check=True, timeout=60,
            env={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"},
        )  # fmt: skip
        lines = screen.read(9000).decode().splitlines()
    assert len(lines) == 5 and max(map(width_of, lines)) <= columns
    shown = "\n".join(lines[2:])
    assert re.search(r"a.mp4 \(gone\) +one ", shown) and re.search(r"a.mp4 \(gone\) +two ", shown)
    assert ("…" in shown) == (columns < 120)
