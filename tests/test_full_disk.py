"""A disk that is really full: a small file system of its own, where the tests may mount one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.clips import write_clips
from tests.disks import mounted
from vidrec.cli import app


def vidrec(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    with mounted(tmp_path / "disk", "size=8m") as folder:
        yield folder


def fill(folder: Path) -> Path:
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return path


def test_what_is_stored_is_kept_and_found_on_a_full_disk(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", str(small_disk / "library"))
    clips = write_clips(tmp_path / "clips")
    vidrec("embed", clips["coffee"], clips["rocket"])
    vidrec("index")
    filling = fill(small_disk)
    found = vidrec("recommend", "a cup of coffee", "-f", "paths").stdout.splitlines()
    assert found[0] == str(clips["coffee"])
    assert "full" in vidrec("embed", clips["chelsea"], code=1).stderr
    assert "chelsea" not in vidrec("list").stdout
    filling.unlink()
    vidrec("embed", clips["chelsea"])
    vidrec("index")
    assert str(clips["chelsea"]) in vidrec("recommend", "a cat", "-f", "paths").stdout


def test_nothing_is_begun_on_a_full_disk(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_LIBRARY", str(small_disk / "library"))
    clips = write_clips(tmp_path / "clips", ["red"])
    filling = fill(small_disk)
    assert "full" in vidrec("embed", clips["red"], code=1).stderr
    filling.unlink()
    vidrec("embed", clips["red"])
