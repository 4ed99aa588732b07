"""What the page's files must keep to, whatever they show."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "vidrec" / "serve" / "page"
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")
FILES = sorted(path for path in PAGE.iterdir() if path.suffix in (".html", ".js", ".css", ".svg"))


def test_every_file_is_asked_for_at_once() -> None:
    named = set(re.findall(r'(?:href|src)="page/([\w.]+)"', INDEX))
    assert named == {path.name for path in PAGE.iterdir()} - {"index.html"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|\beval\(|new Function|innerHTML|insertAdjacentHTML", text)


def test_nothing_is_written_inline() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", INDEX)
    assert all(re.search(r'\ssrc="', tag) for tag in re.findall(r"<script[^>]*>", INDEX))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
