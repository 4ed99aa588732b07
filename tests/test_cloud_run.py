"""The cloud half whole: upload, embed, index and recommend, against S3 and Twelve Labs stand-ins.

Commands run in processes of their own where they are killed or where their imports count.
"""

# ruff: noqa: F811

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import BUCKET, Cloud, cloud, embedded, start, vidrec  # noqa: F401
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.media.probe import probe

HEAVY = {"tensorflow", "keras", "av", "cv2", "onnxruntime", "tokenizers", "boto3", "PIL"}


def all_bytes(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_from_files_to_recommendations_by_url(cloud: Cloud, tmp_path: Path) -> None:
    for name in ("dark forest", "bright kitchen", "stormy sea"):
        write_video(cloud.folder / f"{name}.mp4", seconds=5, seed=len(name))
    outputs = [vidrec(*words).output for words in (
        ["upload", cloud.folder], ["embed", cloud.folder], ["index"],
    )]  # fmt: skip
    urls = [call.fields["video"]["media_source"]["url"]
            for call in cloud.labs.calls("POST", "/embed-v2/tasks")]  # fmt: skip
    assert len(urls) == 3
    assert all(url.startswith(f"{cloud.s3.url}/{BUCKET}/vidrec/") for url in urls)
    assert not cloud.labs.calls("POST", "/assets")
    answer = vidrec("recommend", "a sea in storm, stormy", "--format", "json").stdout
    best = json.loads(answer)["results"][0]
    assert best["filename"] == "stormy sea.mp4"
    assert best["url"].startswith(f"s3://{BUCKET}/vidrec/")
    played = vidrec("recommend", "stormy sea", "--format", "json", "--url-expires", "60").stdout
    with urllib.request.urlopen(json.loads(played)["results"][0]["url"], timeout=10) as response:
        assert response.read() == (cloud.folder / "stormy sea.mp4").read_bytes()
    for secret in cloud.secrets:
        assert not any(secret in output for output in [*outputs, answer])
        for path, content in all_bytes(tmp_path):
            assert secret.encode() not in content, path


def test_videos_that_were_not_uploaded_are_sent(cloud: Cloud) -> None:
    cloud.videos(2)
    vidrec("embed", cloud.folder)
    assert len(cloud.labs.calls("POST", "^/assets$")) == 2
    assert cloud.labs.assets == {}
    cloud.videos(3)
    output = vidrec("embed", cloud.folder, "--source", "url", code=4).output
    assert "run `vidrec upload` first" in output
    vidrec("upload", cloud.folder)
    vidrec("embed", cloud.folder, "--source", "url")
    assert len(cloud.labs.tasks) == 3


def test_an_object_that_is_gone_is_named_and_tried_again(cloud: Cloud) -> None:
    (path,) = cloud.videos(1)
    vidrec("upload", path)
    cloud.s3.denied = [("GET", f"{hash_file(path)}")]
    assert "could not be fetched" in vidrec("embed", path, code=4).output
    cloud.s3.denied = []
    vidrec("embed", path)
    assert embedded() == {hash_file(path)}


def test_a_text_costs_one_call_ever(cloud: Cloud) -> None:
    cloud.videos(2)
    vidrec("embed", cloud.folder)
    vidrec("index")
    cloud.labs.log.clear()
    for _ in range(3):
        vidrec("recommend", "a dark forest", "--embedder", "marengo")
    assert [(call.method, call.path) for call in cloud.labs.log] == [("POST", "/embed-v2")]


def test_a_text_query_imports_no_video_library(cloud: Cloud) -> None:
    cloud.videos(1)
    vidrec("embed", cloud.folder)
    vidrec("index")
    program = (
        "import sys\nfrom vidrec.cli import app\n"
        "try: app(['recommend', 'dark', '--embedder', 'marengo'])\n"
        "except SystemExit: pass\n"
        "print(*{n.split('.')[0] for n in sys.modules}, file=sys.stderr)"
    )
    for heavy in (HEAVY, HEAVY | {"twelvelabs", "httpx"}):  # the second time it is cached
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
        )
        assert not heavy & set(done.stderr.splitlines()[-1].split())
        assert "000.mp4" in done.stdout


def test_a_dry_run_says_what_it_would_cost_and_sends_nothing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(3)
    output = vidrec("embed", cloud.folder, "--dry-run").output
    assert "would pay for 3 jobs, 0.2 minutes" in output and "cost not known" in output
    monkeypatch.setenv("VIDREC_MARENGO_PRICE_VIDEO_MINUTE", "0.5")
    assert "cost $0.10" in vidrec("embed", cloud.folder, "--dry-run").output
    assert not cloud.labs.log


def test_the_cap_on_minutes_is_never_passed(cloud: Cloud) -> None:
    cloud.videos(5)
    output = vidrec("embed", cloud.folder, "--max-minutes", 0.15).output
    assert "3 left by --max-minutes" in output and "2 paid jobs, 0.1 minutes" in output
    assert len(cloud.labs.tasks) == 2
    assert "3 left" in vidrec("embed", cloud.folder, "--max-minutes", 0, "--dry-run").output
    vidrec("embed", cloud.folder)
    assert len(cloud.labs.tasks) == 5
    usage = vidrec("usage", "--format", "json").stdout
    (row,) = json.loads(usage)["spent"]
    assert row["jobs"] == 5 and row["minutes"] == pytest.approx(5 * 4 / 60)


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ({"width": 320, "height": 240}, "320x240 is smaller than the 360x360"),
        ({"seconds": 1.0}, "1.0 s is shorter than the 4 s"),
        ({"width": 1200, "height": 400}, "1200x400 is more oblong than the 1:2.4"),
    ],
)
def test_what_would_be_refused_is_named_before_it_is_sent_or_repaired(
    cloud: Cloud, shape: dict[str, float], limit: str
) -> None:
    path = write_video(cloud.folder / "odd.mp4", **{"seconds": 5.0, **shape})  # type: ignore[arg-type]
    output = vidrec("embed", path, code=4).output
    assert limit in output and "--repair" in output
    assert not cloud.labs.log
    vidrec("embed", path, "--repair")
    assert embedded() == {hash_file(path)}
    seconds = probe(path).duration_sec
    with Library(load_settings().library) as library:
        (video,) = library.videos()
        assert video.path == path and video.duration_sec == pytest.approx(seconds)
        fingerprint = str(load_embedder(load_settings()).fingerprint)
        for embedding in library.video_embeddings(video.id, fingerprint):
            assert 0 <= embedding.start_sec < embedding.end_sec <= seconds + 1e-6


def test_a_quota_stops_the_run_and_keeps_what_is_done(cloud: Cloud) -> None:
    cloud.videos(4)
    vidrec("embed", cloud.folder, "--limit", 2, "--jobs", 1)
    cloud.labs.fault("429", "POST /embed-v2/tasks", times=None, seconds=86400)
    output = vidrec("embed", cloud.folder, code=1).output
    assert "come back at" in output
    cloud.labs.faults.clear()
    vidrec("embed", cloud.folder)
    assert len(embedded()) == 4 and len(cloud.labs.tasks) == 4


def test_two_hundred_videos_with_a_refusal_of_every_fifth_call(cloud: Cloud) -> None:
    paths = cloud.videos(200)
    cloud.labs.fault("429", ".", times=None, every=5)
    rpm, jobs = 6000, 8
    vidrec("upload", cloud.folder, "--workers", 8)
    vidrec("embed", cloud.folder, "--jobs", jobs, "--rpm", rpm)
    assert embedded() == {hash_file(path) for path in paths}
    assert set(cloud.labs.created().values()) == {1}
    times = sorted(entry.at for entry in cloud.labs.log)
    assert len(times) > 500
    # In any second; one more for each job, whose request may have been on its way.
    for first, last in zip(times, times[rpm // 60 + jobs :], strict=False):
        assert last - first >= 1.0


def test_an_interrupt_ends_the_run_at_once_and_the_next_one_goes_on(cloud: Cloud) -> None:
    paths = cloud.videos(6)
    cloud.labs.polls = 100_000
    process = start("embed", cloud.folder, "--jobs", 3)
    until = time.monotonic() + 30
    while len(cloud.labs.tasks) < 3:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == 130 and "interrupted" in output
    assert "Traceback" not in output
    for task in cloud.labs.tasks.values():
        task.polls_left = 0
    cloud.labs.polls = 0
    vidrec("embed", cloud.folder)
    assert embedded() == {hash_file(path) for path in paths}
    assert set(cloud.labs.created().values()) == {1}


def test_a_query_by_a_file_is_paid_for_once(cloud: Cloud, tmp_path: Path) -> None:
    cloud.videos(2)
    vidrec("embed", cloud.folder)
    vidrec("index")
    query = write_video(tmp_path / "query.mp4", seconds=2, width=160, height=120, seed=9)
    for paid in (True, False):  # too short and too small: a fitting copy is asked with
        done = vidrec("recommend", query, "--allow-paid", "--format", "jsonl")
        assert "000.mp4" in done.stdout
        assert ("minutes of footage were paid for" in done.stderr) is paid
    assert len(cloud.labs.tasks) == 3


def kill_runs(cloud: Cloud, kills: int, videos: int, seed: int) -> int:
    """Kill `embed` at random moments, then let it finish; return how many kills hit it alive."""
    paths = cloud.videos(videos)
    vidrec("upload", cloud.folder, "--workers", 8)
    chance = random.Random(seed)
    hits = 0
    for number in range(kills):
        process = start("embed", cloud.folder, "--jobs", 4)
        try:
            # From before the first request to well into the run.
            before = len(cloud.labs.log)
            wanted = chance.randrange(0, 14)
            until = time.monotonic() + 60
            while process.poll() is None and len(cloud.labs.log) - before < wanted:
                assert time.monotonic() < until
                time.sleep(0.001)
            time.sleep(chance.random() * 0.03)
            hits += process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
            output = process.communicate()[0]
        for secret in cloud.secrets:
            assert secret not in output
        counts = cloud.labs.created()
        assert set(counts.values()) <= {1}, f"paid twice after kill {number}"
    vidrec("embed", cloud.folder)
    assert embedded() == {hash_file(path) for path in paths}
    assert cloud.labs.created() == {hash_file(path): 1 for path in paths}
    return hits


def test_killed_runs_never_pay_twice(cloud: Cloud) -> None:
    cloud.labs.polls = 3
    assert kill_runs(cloud, kills=4, videos=12, seed=1) >= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get("VIDREC_TEST_SLOW"), reason="set VIDREC_TEST_SLOW=1")
def test_fifty_killed_runs_never_pay_twice(cloud: Cloud) -> None:
    cloud.labs.polls = 3
    assert kill_runs(cloud, kills=50, videos=120, seed=2) >= 45
