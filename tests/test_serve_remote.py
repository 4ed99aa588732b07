"""Videos that are not on this machine: presigned on demand, fetched where something is made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import boto3
import httpx
import pytest
from botocore.config import Config

from tests.serving import id_of, serving
from tests.standin_s3 import S3StandIn
from tests.test_serve_media import made
from tests.videos import write_video
from tests.word_library import put, word_settings
from vidrec.config import Settings
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.media.probe import probe

BUCKET = "films"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A library whose videos lie in a bucket: MP4, XviD in AVI, and one that is not there."""
    with S3StandIn() as standin:
        for name, value in standin.environment().items():
            monkeypatch.setenv(name, value)
        client = boto3.client(
            "s3", endpoint_url=standin.url, region_name=standin.region,
            config=Config(retries={"max_attempts": 1}),
        )  # fmt: skip
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": standin.region}
        )
        settings = word_settings(
            tmp_path, monkeypatch, cache=tmp_path / "cache",
            **{"s3.endpoint_url": standin.url, "s3.region": standin.region, "s3.attempts": 1},
        )  # fmt: skip
        with Library(settings.library) as library:
            for name, codec in (("cat.mp4", "libx264"), ("dog.avi", "mpeg4"), ("gone.mp4", "")):
                about: dict[str, Any] = {"path": None, "url": f"s3://{BUCKET}/some {name}"}
                if codec:
                    path = write_video(tmp_path / name, 30, codec=codec)
                    client.upload_file(str(path), BUCKET, f"some {name}")
                    about |= {"info": probe(path), "size": path.stat().st_size}
                    path.unlink()
                put(library, name, [name[:3].replace("gon", "red")], about=about)
        index(settings)
        yield settings


def test_an_object_is_presigned_when_it_is_asked_for(bucket: Settings) -> None:
    with serving(bucket) as client:
        (row, *_) = client.get("/api/recommend", params={"q": "cat"}).json()["results"]
        assert row["name"] == "cat.mp4" and row["media"] and "X-Amz" not in str(row)
        state = client.get(f"{row['media']}/state").json()
        assert state["ready"] and state["kind"] == "remote"
        answer = client.get(row["media"])
        assert answer.status_code == 307 and "X-Amz-Expires=3600" in answer.headers["location"]
        whole = httpx.get(answer.headers["location"])
        with av.open(io.BytesIO(whole.content)) as film:
            assert len(list(film.decode(video=0))) == 30
        policy = client.get("/").headers["content-security-policy"]
        assert bucket.s3.endpoint_url and bucket.s3.endpoint_url in policy


def test_what_has_to_be_made_is_fetched(bucket: Settings) -> None:
    with serving(bucket) as client:
        for name in ("cat.mp4", "dog.avi"):
            video = id_of(client, name)
            assert client.get(f"/poster/{video}").headers["content-type"] == "image/jpeg"
            assert client.get(f"/preview/{video}").headers["content-type"] == "video/mp4"
        dog = id_of(client, "dog.avi")
        assert made(client, dog)["kind"] == "transcode"
        with av.open(io.BytesIO(client.get(f"/media/{dog}").content)) as film:
            assert len(list(film.decode(video=0))) == 30
        gone = id_of(client, "gone.mp4")
        assert client.get(f"/media/{gone}").status_code == 307  # nobody looked
        lost = client.get(f"/poster/{gone}")
        assert lost.status_code == 422 and BUCKET not in lost.text
