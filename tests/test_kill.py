"""kill -9 in the middle of embed and index: nothing finished is lost, nothing is doubled.

``VIDREC_TEST_KILLS`` sets how many kills; a few by default, fifty for a thorough run.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clips import PHOTOGRAPHS, photograph, write_clip
from vidrec.config import load_settings
from vidrec.library import Library

KILLS = int(os.environ.get("VIDREC_TEST_KILLS", "6"))
VIDEOS = 24


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "vidrec", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vidrec", *arguments], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(library: Path) -> dict[str, bytes]:
    """What the catalog holds: each embedding's key with its vector; proves it is sound."""
    db = sqlite3.connect(f"file:{library / 'catalog.sqlite3'}?mode=ro", uri=True)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute("SELECT video_id, scope, start_sec, end_sec, vector FROM embeddings")
        return {json.dumps(row[:4]): row[4] for row in rows}
    finally:
        db.close()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for number in range(VIDEOS):
        picture = photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
        write_clip(tmp_path / "films" / f"{number:02}.mp4", picture[number:], seconds=1)
    return tmp_path / "films"


@pytest.mark.timeout(1800)
def test_kills_of_embed_and_index_lose_and_double_nothing(films: Path) -> None:
    library = load_settings().library
    chance = random.Random(7)
    run("embed", str(films), "--limit", "2")
    run("index")
    before = finished(library)
    for kill in range(KILLS):
        if kill % 5 == 4 or len(before) == 2 * VIDEOS:  # so that there is always work to kill
            with Library(library) as opened:
                for video in list(opened.videos())[3:]:
                    opened.remove_video(video.id)
            before = finished(library)
        command = ["index", "--recreate"] if kill % 3 == 2 else ["embed", str(films)]
        process = start(*command)
        time.sleep(chance.uniform(0.05, 3.0))
        process.kill()
        process.wait()
        after = finished(library)
        assert before.items() <= after.items(), "something finished was lost or changed"
        assert len(after) % 2 == 0, "a video is half committed"
        rows = json.loads(run("recommend", "a cat", "-f", "json", "--min-confidence", "0"))[
            "results"
        ]
        assert rows, "recommend does not answer"
        assert len({row["video_id"] for row in rows}) == len(rows)
        before = after
    run("embed", str(films))
    run("index", "--prune")
    assert len(finished(library)) == 2 * VIDEOS
    status = json.loads(run("status", "--format", "json"))
    assert status["embedders"][0]["indexed"] == 2 * VIDEOS
    assert not status["embedders"][0]["stale"]
    answer = json.loads(
        run("recommend", "a cat", "-k", "99", "-f", "json", "--min-confidence", "0")
    )
    assert len(answer["results"]) == VIDEOS


def test_two_that_embed_at_once(films: Path) -> None:
    """The second says who is at work; the library is whole whichever it was."""
    first = start("embed", str(films))
    deadline = time.monotonic() + 60
    holder = load_settings().library / "embed-conse.lock.holder"
    while not holder.exists() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.02)
    second = subprocess.run(
        [sys.executable, "-m", "vidrec", "embed", str(films)], capture_output=True, text=True
    )
    if second.returncode != 0:  # else the first was done already
        assert second.returncode == 5
        assert f"process {first.pid}" in second.stderr
    assert first.wait(100) == 0
    assert len(finished(load_settings().library)) == 2 * VIDEOS


def test_an_interrupt_keeps_what_is_finished(films: Path) -> None:
    import signal

    content = (films / "00.mp4").read_bytes()
    for number in range(200):  # more than are done before a busy machine sends the signal
        (films / f"more {number}.mp4").write_bytes(content + bytes([number]))
    process = subprocess.Popen(
        [sys.executable, "-m", "vidrec", "embed", str(films)], stderr=subprocess.PIPE, text=True
    )
    library = load_settings().library
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        if (library / "catalog.sqlite3").exists():
            with Library(library) as opened:
                if any(opened.embedders_by_video()):
                    break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert "interrupted; embedded" in errors
    assert "Traceback" not in errors
    assert 0 < len(finished(library)) < 2 * (VIDEOS + 200)
