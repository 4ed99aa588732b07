"""`--shard`: parts of one job, each with a library of its own, and the whole from them."""

from __future__ import annotations

from pathlib import Path

from tests.marked_embedder import eight_films, rows
from tests.test_pipeline import vidrec
from vidrec.config import load_settings
from vidrec.library import Library


def test_shards_are_parts_of_one_whole(tmp_path: Path) -> None:
    films = eight_films(tmp_path / "films")
    settings = load_settings()
    whole = {path.name for path in films.iterdir()}
    seen: list[str] = []
    for number in (1, 2, 3):
        library = tmp_path / str(number)
        options = ("--shard", f"{number}/3", "--library", library, "--no-index", "-f", "table")
        said = [vidrec("embed", films, *options).stderr for _ in range(2)]
        with Library(library) as opened:
            names = [video.filename for video in opened.videos()]
        assert f"embedded {len(names)} video" in said[0]
        assert f"{8 - len(names)} of other shards" in said[0]
        assert f"{len(names)} skipped" in said[1] or not names
        seen += names
        vidrec("import", library, "--library", settings.library)
    assert sorted(seen) == sorted(whole)
    vidrec("embed", films, "--library", tmp_path / "at once", "--no-index")
    assert rows(settings.library) == rows(tmp_path / "at once")
    for wrong in ("0/2", "3/2", "1", "a/b", "-1/2"):
        assert "--shard is I/N" in vidrec("embed", films, f"--shard={wrong}", code=2).output
