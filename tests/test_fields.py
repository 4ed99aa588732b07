"""Fields and conditions: the same on every command, typed, and known by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.asking import ask
from tests.word_library import put, word_settings
from vidrec.cli import app
from vidrec.commands.open_ import command_for
from vidrec.conditions import Condition
from vidrec.config import Settings
from vidrec.errors import UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search.conditions import parse_conditions
from vidrec.types import VideoInfo


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    with Library(settings.library) as library:
        for number, (name, colour) in enumerate(
            [("a.mp4", "red"), ("b.mkv", "red green"), ("c.mp4", "green"), ("d.mp4", "red blue")]
        ):
            about = {
                "path": Path(f"/films/{'old' if number < 2 else 'new'}/{name}"),
                "label": ["Cats", "Dogs", None, "Cats"][number],
                "info": VideoInfo(30.0 * (number + 1), 640 * (number + 1), 360),
            }
            put(library, name, [colour], about=about)
    index(settings)
    return settings


def vidrec(*words: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def found(settings: Settings, *where: str) -> str:
    rows = ask(settings, ["red green blue"], where=where).results
    listed, _ = vidrec("list", *(word for w in where for word in ("--where", w)))
    names = sorted(json.loads(line)["filename"] for line in listed.splitlines())
    assert names == sorted(row.filename for row in rows)  # every command agrees
    return "".join(sorted(row.filename[0] for row in rows))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["label=Cats"], "ad"), (["label = Cats", "label=Dogs"], "abd"),
        (["label in Cats,Dogs"], "abd"),
        (["label!=Cats"], "bc"), (["label=null"], "c"), (["label ~ C*"], "ad"),
        (["duration_sec >= 60"], "bcd"), (["duration_sec<1:00"], "a"),
        (["width > 640", "width<=1920"], "bc"),
        (["filename ~ *.mp4"], "acd"), (["folder=old"], "ab"), (["folder=/films/new"], "cd"),
        (["folder ~ n*", "label=Cats"], "d"), (["added > 2020-01-01"], "abcd"),
        (["added<2020-01-01T00:00:00Z"], ""), (["year=2007"], "a"), (["year != 2007"], "bcd"),
        (["year > 2000"], "ab"), (["year in 2008, 2007"], "ab"), (["mood ~ da*"], "c"),
        (["seen=true"], "c"),
        (["mood > ab"], "c"), (["split=train"], "b"),
        (["label > Cats"], "b"), (["filename >= b", "filename < d"], "bc"),
        (["label ~ [!C]*"], "b"), (["filename ~ [^b]*"], "b"),
        (["mood ~ [a-d]a[!a]*"], "c"),
        (["folder ~ "], ""), (["width < 99999999999999999999"], "abcd"),
    ],
)  # fmt: skip
def test_conditions(words: Settings, where: list[str], expected: str) -> None:
    vidrec("tag", "a.mp4", "year=2007")
    vidrec("tag", "/films/old/b.mkv", "year=2008", "split=train")
    vidrec("tag", f"id:{3:064x}", "mood=dark", "seen=true", 'year="2009"')
    assert found(words, *where) == expected


def test_a_field_nobody_knows_is_refused_with_the_known_ones(words: Settings) -> None:
    vidrec("tag", "a.mp4", "year=2007")
    for where in ("colour=red", "colour > 3"):
        with pytest.raises(UsageError, match=r"colour.*label.*width.*year"):
            ask(words, ["red"], where=[where])
    for command in (["list"], ["evaluate"], ["export", "x.jsonl"]):
        _, problem = vidrec(*command, "--where", "colour=red", code=2)
        assert "'colour'" in problem and "year" in problem


@pytest.mark.parametrize(
    "word", ["novalue", "=x", "a b = 3", "added > soon", "width > 1O", "fps ~ 2*"]
)
def test_what_is_no_condition_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_conditions([word])


def test_a_value_may_hold_signs() -> None:
    assert parse_conditions(["title=a=b>c"]) == (Condition("title", "in", ("a=b>c",)),)
    assert parse_conditions(["in=1"]) == (Condition("in", "in", ("1", 1)),)


def test_fields_are_changed_and_removed(words: Settings) -> None:
    vidrec("tag", "a.mp4", "c.mp4", "year=2007", "note=a long one")
    vidrec("tag", "c.mp4", "year=", "note=3")
    with Library(words.library) as library:
        ids = [f"{number:064x}" for number in range(1, 5)]
        assert library.fields_of(ids) == {
            ids[0]: {"year": 2007, "note": "a long one"}, ids[2]: {"note": 3},
        }  # fmt: skip
        library.remove_video(ids[0])
        assert library.field_names() == ["note"]
    for wrong in (["a b=3"], ["width=3"], ["label=x"], []):
        vidrec("tag", "c.mp4", *wrong, code=2)
    vidrec("tag", "absent.mp4", "year=1", code=2)


def test_metadata_is_joined_by_file_name(words: Settings, tmp_path: Path) -> None:
    table = tmp_path / "about.csv"
    table.write_text("file;year;mood;label\nold/a.mp4;1999;dark, gloomy;Cats\nabsent.mp4;1;x;y\n")
    _, said = vidrec("tag", "--from", table, code=4)
    assert "absent.mp4" in said
    assert found(words, "year=1999", "mood=dark, gloomy") == "a"
    rows = tmp_path / "about.jsonl"
    rows.write_text('{"file": "c.mp4", "year": 2001, "ok": true, "label": "Birds"}\n')
    vidrec("tag", "--from", rows)
    assert found(words, "year<=2001", "ok=true", "year>2000") == "c"
    vidrec("index")
    assert found(words, "label=Birds") == "c"
    rows.write_text('{"file": "c.mp4", "note": "two\u2028lines"}\n', encoding="utf-8")
    vidrec("tag", "--from", rows)
    table.write_text('file,note\nc.mp4,"one\ntwo"\n')
    vidrec("tag", "--from", table)
    table.write_text("file,note\nc.mp4,grey, cold\n")  # no value is cut at a comma in silence
    _, said = vidrec("tag", "--from", table, code=4)
    assert "line 2: the row has 3 columns, the header 2" in said


def test_no_metadata_is_cut_in_silence(words: Settings, tmp_path: Path) -> None:
    table = tmp_path / "about.csv"
    table.write_text("file,note,label\na.mp4,hello, world,x\nc.mp4,short\nb.mkv,fine\n")
    _, said = vidrec("tag", "--from", table, code=4)
    assert "line 2: the row has 4 columns, the header 3" in said
    assert found(words, "note=short") == "c"
    assert found(words, "label=Dogs") == "b"  # what a row does not say stays
    table.write_bytes('file;note\r\na.mp4;"two\r\nlines\u2028here"\r\n'.encode("utf-16"))
    vidrec("tag", "--from", table)
    with Library(words.library) as library:
        assert library.fields_of([f"{1:064x}"])[f"{1:064x}"]["note"] == "two\r\nlines\u2028here"
    table.write_text("file,note,note\na.mp4,x,y\n")
    assert "'note' more than once" in vidrec("tag", "--from", table, code=2)[1]
    rows = tmp_path / "about.jsonl"
    rows.write_text('{"file": "a.mp4", "note": "a\u2028b"}\n', encoding="utf-8")
    vidrec("tag", "--from", rows)


def test_what_is_no_text_is_refused_in_a_line(words: Settings) -> None:
    assert "not in the library" in vidrec("tag", "\udce9", "year=1", code=2)[1]
    assert "is not UTF-8" in vidrec("tag", "a.mp4", "note=\udce9", code=2)[1]


def test_labels_and_what_has_none(words: Settings, tmp_path: Path) -> None:
    assert [
        json.loads(line)["filename"] for line in vidrec("list", "--unlabelled")[0].splitlines()
    ] == ["c.mp4"]
    vidrec("recommend", "green", "-k", "1", "--where", "filename=c.mp4")
    vidrec("label", "#1", "--label", "Birds")
    assert vidrec("list", "--unlabelled")[0] == ""
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.mp4,007\nb.mkv,\n")
    assert "set 2 values of 2 videos" in vidrec("label", "--from", table)[1]
    with Library(words.library) as library:
        assert [video.label for video in library.videos()] == ["007", None, "Birds", "Cats"]
    assert "changed since it was indexed" in vidrec("recommend", "green")[1]
    vidrec("index")
    again = vidrec("label", "--from", table)[1]  # every night, say: the index need not follow
    assert "set 0 values of 2 videos" in again
    assert "index" not in again + vidrec("recommend", "green")[1]
    for wrong in ([], ["a.mp4"], ["--label", "x"], ["a.mp4", "--label", "x", "--from", table]):
        vidrec("label", *wrong, code=2)


def test_a_result_of_the_last_answer_is_a_query_and_plays(
    words: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "#1" in vidrec("recommend", "#1", code=2)[1]
    rows = [json.loads(line) for line in vidrec("recommend", "red")[0].splitlines()]
    again = [json.loads(line) for line in vidrec("recommend", "#2")[0].splitlines()]
    assert rows[1]["filename"] not in [row["filename"] for row in again]
    assert "gone" in vidrec("open", "1", code=2)[1]
    assert "#1 to #3" in vidrec("open", "9", code=2)[1]
    for name in ("mpv", "xdg-open"):
        player = tmp_path / name
        player.write_text("#!/bin/sh\nexit 0\n")
        player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_for("/x.mp4", 61.5, None) == (
        [str(tmp_path / "mpv"), "--start=61.50", "/x.mp4"], True,
    )  # fmt: skip
    (tmp_path / "mpv").unlink()
    assert command_for("/x.mp4", 61.5, None)[1] is False
    with pytest.raises(UsageError, match="no player"):
        command_for("/x.mp4", 0, "vlc")


def test_evaluate_and_export_see_only_what_meets_conditions(
    words: Settings, tmp_path: Path
) -> None:
    vidrec("export", tmp_path / "some.jsonl", "--where", "label=Cats")
    lines = (tmp_path / "some.jsonl").read_text().splitlines()
    assert {json.loads(line)["filename"] for line in lines if "filename" in line} == {
        "a.mp4",
        "d.mp4",
    }
    assert len(lines) >= 4
    captions = tmp_path / "captions.csv"
    captions.write_text("file,caption\na.mp4,red\nd.mp4,blue\nc.mp4,green\n")
    for scope in ("clip", "video", "best"):
        report = json.loads(
            vidrec("evaluate", "--captions", captions, "--where", "label=Cats", "--scope", scope,
                   "--format", "json")[0]
        )  # fmt: skip
        assert (report["text"]["queries"], report["text"]["videos"]) == (2, 2)
