"""Agents: the tools over stdin and stdout, asked by the SDK's own client."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.word_library import put, word_settings
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = word_settings(tmp_path, monkeypatch)
    with Library(settings.library) as library:
        put(library, "cat.mp4", ["red cat", "cat"], about={"label": "Pets"})
        dog = put(library, "dog.mp4", ["dog", "blue"], about={"label": "Pets"})
        put(library, "wall.mp4", ["red"])
        library.set_fields([(dog, {"year": 1999})])
    index(settings)
    return settings


def session(settings: Settings, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Start `vidrec mcp`, list its tools and call some; return the tools and the answers."""
    answers: list[Any] = []
    tools: list[Any] = []
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "vidrec", "mcp", "--library", str(settings.library), "--embedder", "words"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    async def run() -> None:
        async with Client(server) as client:
            tools.extend((await client.list_tools()).tools)
            for name, arguments in calls:
                answers.append(await client.call_tool(name, arguments))

    anyio.run(run)
    return tools, answers


def said(answer: Any) -> Any:
    assert not answer.is_error, answer
    return answer.structured_content or json.loads(answer.content[0].text)


def test_agents_ask_list_and_only_read(words: Settings) -> None:
    before = {path: path.stat().st_mtime_ns for path in words.library.rglob("*.npy")}
    tools, (cats, some, like, listed, status) = session(
        words,
        ("recommend", {"query": "cat", "k": 2, "why": True}),
        ("recommend", {"query": "dog", "unlike": ["red"], "where": ["year<2000"]}),
        ("similar", {"video_id": f"{1:064x}"}),
        ("list_videos", {"label": "Pets", "limit": 1}),
        ("status", {}),
    )
    assert {tool.name for tool in tools} == {"recommend", "similar", "list_videos", "status"}
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert said(cats)["results"][0]["filename"] == "cat.mp4"
    assert said(cats)["results"][0]["start_sec"] == 10.0
    assert said(cats)["results"][0]["why"]["parts"][0]["part"] == "cat"
    (row,) = said(some)["results"]
    assert row["filename"] == "dog.mp4" and row["fields"] == {"year": 1999}
    assert "cat.mp4" not in [row["filename"] for row in said(like)["results"]]
    assert said(listed)["total"] == 2 and len(said(listed)["videos"]) == 1
    assert said(status)["labels"] == {"Pets": 2} and said(status)["videos"] == 3
    assert before == {path: path.stat().st_mtime_ns for path in words.library.rglob("*.npy")}


def test_a_path_is_a_text_and_errors_are_told(words: Settings) -> None:
    _, answers = session(
        words,
        ("recommend", {"query": "/etc/hostname red", "k": 1}),
        ("recommend", {"query": "red", "where": ["path=/films/cat.mp4"]}),
        ("recommend", {"query": "red", "where": ["colour=red"]}),
        ("similar", {"video_id": "/etc/passwd"}),
        ("recommend", {"query": "red", "k": 0}),
        ("recommend", {}),
    )
    assert said(answers[0])["results"][0]["filename"] == "wall.mp4"
    for answer, part in zip(
        answers[1:], ("cannot be asked", "colour", "pattern", "greater", "nothing to look for"),
        strict=True,
    ):  # fmt: skip
        assert answer.is_error and part in answer.content[0].text
