"""Every command that reports writes JSON lines that its schema describes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.clips import write_clips
from tests.test_pipeline import vidrec
from vidrec.cli import COMMANDS, app
from vidrec.commands.schema import ROWS

jsonschema = pytest.importorskip("jsonschema")


def strict(schema: Any) -> Any:
    """The same schema, that takes no field which it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: strict(value) for key, value in schema.items()}, **closed}


def check(command: str, text: str, *, least: int = 1) -> list[Any]:
    """Hold each line that a command wrote against what `vidrec schema` prints."""
    schema = json.loads(vidrec("schema", command).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) >= least
    for row in rows:
        jsonschema.validate(row, strict(schema))
    return rows


def lines(command: str, *arguments: object, code: int = 0) -> str:
    return vidrec(command, *arguments, "--format", "jsonl", code=code).stdout


def built() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return {name: group.get_command(None, name) for name in COMMANDS}


def test_every_command_that_has_a_format_has_a_schema() -> None:
    every: dict[str, Any] = built()
    formats = {
        name: next((p for p in command.params if p.name == "format"), None)
        for name, command in every.items()
    }
    assert {name for name, option in formats.items() if option} == set(ROWS) - {"error"}
    for option in filter(None, formats.values()):
        choices = list(option.type_descriptor.choices)
        assert choices[:4] == ["auto", "table", "json", "jsonl"]


def test_each_command_has_quiet_verbose_and_a_log() -> None:
    for name, command in built().items():
        assert {"quiet", "verbose", "log_file"} <= {p.name for p in command.params}, name


def test_what_commands_write_is_as_their_schemas_say(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", ["red", "blue", "coffee"])
    folder = clips["red"].parent
    (folder / "broken.mp4").write_text("text")
    planned = check("embed", lines("embed", folder, "--dry-run"))
    assert {row["status"] for row in planned} == {"planned"}
    done = check("embed", lines("embed", folder, code=4), least=5)
    assert [row.get("status") for row in done].count("failed") == 1
    assert done[-1]["event"] == "summary"
    check("index", lines("index"))
    check("list", lines("list"), least=3)
    (status,) = check("status", lines("status"))
    assert status["failures"] and status["embedders"]
    check("usage", lines("usage"))
    check("jobs", lines("jobs"), least=0)
    check("doctor", vidrec("doctor", "--format", "jsonl").stdout, least=5)
    check("config", lines("config", "show"), least=20)
    asked = ("recommend", "a cup of coffee", "--min-confidence", 0)
    assert "why" in check("recommend", lines(*asked, "--why"))[0]
    assert "why" not in check("recommend", lines(*asked))[0]
    (tmp_path / "queries.jsonl").write_text('{"query": "red"}\n{"query": "x", "top_k": "many"}\n')
    many = lines(
        "recommend", "--queries", tmp_path / "queries.jsonl", "--min-confidence", 0, code=4
    )  # fmt: skip
    assert [("error" in row) for row in check("recommend", many, least=2)] == [False, True]
    (labelled,) = check("label", lines("label", "red.mp4", "blue.mp4", "--label", "Walls"))
    assert labelled["videos"] == 2
    check("evaluate", lines("evaluate"), least=3)
    check("tag", lines("tag", "red.mp4", "year=2021"))
    check("export", lines("export", tmp_path / "v.jsonl"))
    check("import", lines("import", tmp_path / "v.jsonl", "--library", tmp_path / "other"))
    check("import", lines("import", "--library", tmp_path / "other"))
    (gone,) = check("remove", lines("remove", "red.mp4", "nothing.mp4"))
    assert [video["filename"] for video in gone["videos"]] == ["red.mp4"]
    failed = vidrec("recommend", "id:zz", "--format", "jsonl", code=2).stderr
    check("error", failed)


def test_a_schema_of_nothing_is_a_hint() -> None:
    said = vidrec("schema", "recomend", code=2).stderr
    assert "did you mean recommend" in said and "status" in said
    assert set(ROWS) <= {*COMMANDS, "error"}
