"""What vectors tell by themselves can be asked for: tone, in words and on its axes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.asking import ask
from tests.tone_library import put_toned
from tests.word_library import put, word_settings
from vidrec.cli import app
from vidrec.config import Settings, load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.errors import UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search.conditions import parse_conditions
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
from vidrec.search.told import Told


@pytest.fixture
def tones() -> Settings:
    settings = load_settings()
    with Library(settings.library) as library:
        put_toned(library, "night.mp4", [{"light": -2, "motion": -1.5}, {"light": -1.5}])
        put_toned(library, "party.mp4", [{"light": -1, "motion": 2, "colour": 1.5}], label="x")
        put_toned(library, "snow.mp4", [{"light": 2, "warmth": -2}, {"light": 2, "warmth": -1}])
        put_toned(library, "usual.mp4", [{}, {}], label="x")
    index(settings)
    return settings


def vidrec(*words: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def found(settings: Settings, *where: str) -> str:
    flags = [word for w in where for word in ("--where", w)]
    rows = ask(settings, ["a dog"], where=where, k=50, min_confidence=0).results
    listed = [json.loads(line) for line in vidrec("list", *flags)[0].splitlines()]
    names = sorted(row["filename"] for row in listed)
    assert names == sorted(row.filename for row in rows)  # every command agrees
    if names:
        exported, _ = vidrec("export", "-", "--format", "jsonl", *flags)
        assert {json.loads(line)["filename"] for line in exported.splitlines()} == set(names)
    return "".join(name[0] for name in names)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["tone=dark"], "np"), (["tone = bright"], "s"), (["tone in dark,bright"], "nps"),
        (["tone!=dark"], "su"), (["tone=dark", "tone=cold"], "nps"), (["tone ~ co*"], "ps"),
        (["tone.light<0.2"], "n"), (["tone.light < 0.4"], "np"), (["tone.light>0.6"], "s"),
        (["tone.motion >= 0.5", "tone.light<0.5"], "p"), (["tone=lively", "label=x"], "p"),
        (["tone.light>0.45", "tone.light<0.55"], "u"), (["tone.warmth<0.3", "width>1"], "s"),
        (["tone!=cold", "tone!=dark"], "u"), (["tone.drawn<0.4"], ""),
    ],
)  # fmt: skip
def test_conditions_on_tone(tones: Settings, where: list[str], expected: str) -> None:
    assert found(tones, *where) == expected


def test_evaluate_asks_for_the_same(tones: Settings, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("file,caption\nnight.mp4,a dog\nsnow.mp4,a cat\nusual.mp4,a bird\n")
    said, _ = vidrec("evaluate", "--captions", table, "--where", "tone!=dark", "--format", "json")
    assert json.loads(said)["videos"] == 2


def test_what_is_no_tone_is_refused(tones: Settings) -> None:
    for where, said in {
        "tone=drak": "tone is one of dark, bright, muted", "tone.light<dark": "takes a number",
        "tone.size>3": r"tone.light, tone.colour", "nothing=3": "tone.motion",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=said):
            ask(tones, ["a dog"], where=[where])
        _, problem = vidrec("list", "--where", where, code=2)
        assert said.split(",")[0].split(" ")[0] in problem


def test_a_field_of_ones_own_goes_before(tones: Settings) -> None:
    vidrec("tag", "usual.mp4", "tone=my own")
    assert found(tones, "tone=my own") == "u"
    assert found(tones, "tone.light<0.2") == "n"


def test_what_is_embedded_meanwhile_is_told(tones: Settings) -> None:
    query = Query((Part("text", "a dog"),), min_confidence=0)
    where = parse_conditions(["tone=dark"])
    with Session(tones) as session:
        asked = Query(query.parts, conditions=where, min_confidence=0)
        assert len(session.recommend(asked).results) == 2
        with Library(tones.library) as library:
            put_toned(library, "cellar.mp4", [{"light": -3}])
        index(tones)
        assert len(session.recommend(asked).results) == 3


@pytest.mark.parametrize("few", [0, 1, 10_000])
def test_what_is_tagged_meanwhile_counts_at_once(
    tones: Settings, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("vidrec.search.told.FEW", few)
    where = parse_conditions(["mood=calm"])
    asked = Query((Part("text", "a dog"),), conditions=where, min_confidence=0)
    with Session(tones) as session, Library(tones.library) as another:

        def names() -> str:
            return "".join(sorted(row.filename[0] for row in session.recommend(asked).results))

        for library, name, mood, expected in (
            (another, "night.mp4", "calm", "n"), (session.library, "snow.mp4", "calm", "ns"),
            (another, "party.mp4", "calm", "nps"), (session.library, "night.mp4", "wild", "ps"),
            (another, "snow.mp4", None, "p"),
        ):  # fmt: skip
            (video_id,) = library.ids_of([name])[name]
            library.set_fields([(video_id, {"mood": mood})])
            assert names() == expected == names()


def test_an_embedder_without_tone_has_no_such_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["cat"])
    index(settings)
    with pytest.raises(UsageError, match="no video has a field 'tone'"):
        ask(settings, ["cat"], where=["tone=dark"])


def test_places_and_words_agree(tones: Settings) -> None:
    with Library(tones.library) as library:
        embedder = ConseEmbedder(tones)
        told = Told(library, embedder).of_videos()
        whole = library.whole_vectors(str(embedder.fingerprint))
    assert len(told) == 4
    for video_id, fields in told.items():
        assert set(fields) == set(embedder.fields)
        assert all(0 < fields[name] < 1 for name in fields if name != "tone")
        assert ", ".join(fields["tone"]) == embedder.describe(whole[video_id])


def test_list_and_status_say_tone_in_words(tones: Settings) -> None:
    listed, _ = vidrec("list", "--long", "--format", "table")
    night = next(line for line in listed.splitlines() if "night.mp4" in line)
    usual = next(line for line in listed.splitlines() if "usual.mp4" in line)
    assert "dark" in night and not any(word in usual for word in ("dark", "bright", "cold"))
    state = json.loads(vidrec("status", "--format", "json")[0])
    assert state["tones"]["dark"] == 2 and state["tones"]["bright"] == 1
    assert "tone     dark 2" in vidrec("status", "--format", "table")[0]
