"""Many queries at once: each as if asked alone, in their order, failures among them."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.asking import ask
from tests.word_embedder import WORDS
from tests.word_library import put, word_settings
from vidrec.cli import app
from vidrec.config import Settings
from vidrec.errors import NoIndexError, UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search.answers import document
from vidrec.search.batch import answer_lines
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
from vidrec.search.wished import OPTIONS, wished


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    monkeypatch.setenv("VIDREC_LIBRARY", str(settings.library))
    monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "words")
    rng = random.Random(3)
    with Library(settings.library) as library:
        for number in range(30):
            clips = [" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(3)]
            put(library, f"{number}.mp4", clips, about={"label": rng.choice(["a", "b"])})
    index(settings)
    return settings


def batch(*arguments: str, lines: str | bytes, code: int = 0) -> list[dict[str, Any]]:
    command = ["recommend", "--queries", "-", *arguments]
    done = CliRunner().invoke(app, command, input=lines)
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


VARIOUS: list[dict[str, Any]] = [
    {"query": "red cat"}, {"query": "dog", "top_k": 3}, {"query": ["green", "dog"], "top_k": 3},
    {"query": "dog", "top_k": 3, "where": "label=a"}, {"query": "2:red - cat"},
    {"like": ["2:dog", "red"], "unlike": "blue"}, {"like": ["dog", "cat"], "pool": "max"},
    {"query": "cat", "clips": True}, {"query": "cat", "diversity": 0.5, "dedupe": True},
    {"query": "cat", "max_per": {"label": 2}}, {"query": "cat", "max_per": "label=2"},
    {"query": "3.mp4"}, {"query": "cat", "history": ["3.mp4", "4.mp4"], "like_history": True},
    {"query": "blue", "scope": "video"}, {"query": "blue", "scope": "best", "min_score": 0.5},
    {"query": "red", "where": ["label=a", "duration_sec>1"]},
]  # fmt: skip


def test_each_is_answered_as_if_asked_alone(words: Settings) -> None:
    lines = [json.dumps({"id": f"no {n}", **options}) for n, options in enumerate(VARIOUS)]
    found = batch(lines="\n".join(lines))
    assert [row.pop("id") for row in found] == [f"no {n}" for n in range(len(VARIOUS))]
    with Session(words) as session:
        for options, row in zip(VARIOUS, found, strict=True):
            alone = session.recommend(wished(options, words.library))
            assert row == json.loads(json.dumps(document(alone))), options
            assert row["results"]


def test_plain_queries_are_compared_together_and_alike(words: Settings) -> None:
    rng = random.Random(9)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 4))) for _ in range(300)]
    queries = [Query((Part("text", text),), k=rng.choice([1, 4, 50])) for text in texts]
    with Session(words) as session:
        together = session.recommend_each(queries)
        assert together == [session.recommend(query) for query in queries]


def test_one_bad_line_spoils_no_other(words: Settings) -> None:
    lines = [
        b"\xef\xbb\xbfred", b"", b"  ", b'{"query": "dog"', b"\xff\xfe", b'{"query": 3}',
        b"elephant", b'{"query": "cat", "nope": 1}', b'{"id": [1], "query": "cat", "top_k": 0}',
        b'{"query": "cat", "top_k": true}', b'{"query": "cat", "where": "colour=red"}',
        b'{"query": "absent.mp4"}', b'{"query": "\\ud800"}', b'{"query": "cat", "pool": "sum"}',
        b'{"query": "cat", "max_per": "label"}', b'{"query": "cat", "clips": 1}', b"{}", b"#99",
        b'{"query": "cat", "diversity": "much"}', b'{"query": "cat", "scope": 1}', b"cat",
    ]  # fmt: skip
    rows = batch(lines=b"\r\n".join(lines), code=4)
    assert len(rows) == len(lines) - 2
    assert [row["id"] for row in rows if "results" in row] == [1, len(lines)]
    failed = {str(row["id"]): row for row in rows if "error" in row}
    for number, said in {
        4: "no JSON object", 5: "not UTF-8", 6: "query is a text", 7: "zero",
        8: "'nope'", 10: "whole number", 11: "'colour'", 12: "does not exist",
        13: "half a character", 14: "mean or max", 15: "label=2", 16: "true or false",
        17: "nothing to look for", 18: "nothing was recommended", 19: "number", 20: "a word",
    }.items():  # fmt: skip
        assert said in failed[str(number)]["error"], number
    assert failed["[1]"]["id"] == [1] and "k=0" in failed["[1]"]["error"]
    assert {row["exit_code"] for row in failed.values()} == {1, 2}


def test_flags_are_the_defaults_of_every_line(words: Settings, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.write_text("1.mp4\n2.mp4\n")
    flags = ["-k", "4", "--where", "label=a", "--history", str(watched), "--unlike", "blue"]
    plain, own = batch(*flags, lines='dog\n{"query": "dog", "top_k": 2, "unlike": []}')
    expected = ask(
        words, ["dog"], unlike=["blue"], where=["label=a"], k=4, history=("1.mp4", "2.mp4")
    )
    assert [row["video_id"] for row in plain["results"]] == [r.video_id for r in expected.results]
    assert len(own["results"]) == 2 and own["query"] == "dog"


def test_what_fits_not_well_is_a_value(words: Settings) -> None:
    low, none = batch(lines='{"query":"dog","min_score":2}\n{"query":"dog","where":"label=c"}')
    assert not low["confident"] and "below 2" in low["reason"]
    assert not none["confident"] and none["results"] == []


def test_what_makes_no_sense_together_is_refused(words: Settings, tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("\n \n")
    for arguments, said in {
        ("a dog", "--queries", str(file)): "QUERY",
        ("--queries", str(file), "--sheet", "x.png"): "--sheet",
        ("--queries", str(file), "--all-videos", "x.jsonl"): "--all-videos",
        ("--queries", str(file), "--format", "paths"): "JSON lines",
        ("--queries", str(tmp_path / "absent")): "absent",
        ("--queries", str(file)): "holds no query",
    }.items():
        done = CliRunner().invoke(app, ["recommend", *arguments])
        assert done.exit_code == 2 and said in done.stderr, arguments


def test_what_no_query_would_be_spared_ends_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["cat"])
    with Session(settings) as session, pytest.raises(NoIndexError):
        list(answer_lines(session, io.BytesIO(b"dog\ncat\n"), {}))


def test_a_line_has_an_end(words: Settings) -> None:
    with Session(words) as session, pytest.raises(UsageError, match="line 2 is longer"):
        list(answer_lines(session, io.BytesIO(b"dog\n" + b"x" * (3 << 20)), {}))


def test_only_a_word_that_the_command_line_would_open_is_opened(
    words: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name without an extension of videos is a text, whatever lies there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red").write_text("secret")
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    text, file = batch(lines="red\nclip.mp4", code=4)
    assert text["query"] == "red" and text["results"]
    assert "secret" not in json.dumps(text) and file["kind"] == "JobError"


def test_a_program_that_waits_is_answered_at_once(words: Settings) -> None:
    command = [sys.executable, "-m", "vidrec", "recommend", "--queries", "-"]
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdin and program.stdout
    with program:
        for number in (1, 2):
            program.stdin.write(b'{"query": "id:%064x"}\n' % number)
            program.stdin.flush()
            answer = json.loads(program.stdout.readline())
            assert answer["id"] == number and "results" in answer, answer
        program.stdin.close()


def test_every_option_of_a_query_has_a_name() -> None:
    names = {"k": "top_k", "conditions": "where", "parts": "query"}
    fields = {names.get(name, name) for name in Query.__dataclass_fields__}
    assert fields | {"like", "unlike"} == set(OPTIONS)
