"""`vidrec upload` against S3 over HTTP, with signatures checked."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from typer.testing import CliRunner, Result

from tests.standin_s3 import S3StandIn
from tests.tiny_video import write_video
from vidrec.cli import app
from vidrec.config import load_settings
from vidrec.errors import StorageError, UsageError
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.library.jobs import upload_of
from vidrec.storage.s3 import S3Storage, parse_s3_url, s3_url

BUCKET = "my-videos"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3StandIn]:
    with S3StandIn() as standin:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in standin.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("VIDREC_S3_ENDPOINT_URL", standin.url)
        monkeypatch.setenv("VIDREC_S3_REGION", standin.region)
        monkeypatch.setenv("VIDREC_S3_BUCKET", BUCKET)
        monkeypatch.setenv("VIDREC_S3_ATTEMPTS", "1")
        admin(standin).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": standin.region}
        )
        yield standin


def admin(server: S3StandIn) -> Any:
    return boto3.client(
        "s3", endpoint_url=server.url, region_name=server.region,
        config=Config(retries={"max_attempts": 1}),
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip


def vidrec(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def large_video(path: Path, mebibytes: int) -> Path:
    """A video with so many mebibytes in all; players ignore what lies behind its end."""
    write_video(path, seconds=1)
    missing = (mebibytes << 20) - path.stat().st_size
    with path.open("ab") as file:
        file.write((os.urandom(1 << 20) * mebibytes)[:missing])
    return path


def objects(server: S3StandIn) -> dict[str, int]:
    found = admin(server).list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {row["Key"]: row["Size"] for row in found}


def test_a_second_run_or_a_rename_moves_nothing(server: S3StandIn, tmp_path: Path) -> None:
    folder = tmp_path / "v"
    paths = [write_video(folder / f"{n}.mp4", seconds=1, seed=n) for n in range(3)]
    vidrec("upload", folder)
    assert objects(server) == {
        f"vidrec/{hash_file(path)}.mp4": path.stat().st_size for path in paths
    }
    paths[0].rename(folder / "renamed.mp4")
    server.log.clear()
    output = vidrec("upload", folder).output
    assert "3 there before" in output
    assert not [entry for entry in server.log if entry[0] in ("PUT", "POST")]


def test_the_library_knows_the_url_and_anyone_may_play_it(
    server: S3StandIn, tmp_path: Path
) -> None:
    name = "Überraschung & #1's 🎬 100%.MP4"
    path = write_video(tmp_path / "v" / name, seconds=1)
    vidrec("upload", path)
    head = admin(server).head_object(Bucket=BUCKET, Key=f"vidrec/{hash_file(path)}.mp4")
    assert head["ContentType"] == "video/mp4"
    settings = load_settings()
    storage = S3Storage(settings.s3)
    with Library(settings.library) as library:
        (video,) = library.videos()
        assert video.url == f"s3://{BUCKET}/vidrec/{video.id}.mp4"
        known = upload_of(library, video.id)
        assert known is not None
        assert (known.url, known.size, known.checksum) == (video.url, video.size, video.id)
    found = storage.find(*parse_s3_url(video.url))
    assert found is not None and found.filename == name
    with urllib.request.urlopen(storage.presign(video.url, 60), timeout=10) as response:
        assert response.read() == path.read_bytes()
        assert response.headers["Content-Type"] == "video/mp4"


def test_a_large_file_goes_in_parts_and_comes_back_whole(server: S3StandIn, tmp_path: Path) -> None:
    path = large_video(tmp_path / "large.mp4", 64)
    output = vidrec("upload", path, "--verify").output
    assert "1 verified" in output
    puts = [entry for entry in server.log if entry[0] == "PUT" and "/vidrec/" in entry[1]]
    assert len(puts) == 4
    assert list(objects(server).values()) == [64 << 20]


def test_what_a_cut_off_upload_left_is_removed(server: S3StandIn, tmp_path: Path) -> None:
    path = large_video(tmp_path / "large.mp4", 17)
    client = admin(server)
    key = f"vidrec/{hash_file(path)}.mp4"
    begun = client.create_multipart_upload(Bucket=BUCKET, Key=key)
    client.upload_part(
        Bucket=BUCKET, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * (5 << 20)
    )
    vidrec("upload", path)
    assert not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert objects(server) == {key: 17 << 20}


def test_a_failed_upload_leaves_no_parts_and_is_taken_up_again(
    server: S3StandIn, tmp_path: Path
) -> None:
    path = large_video(tmp_path / "v" / "large.mp4", 33)
    small = write_video(tmp_path / "v" / "small.mp4", seconds=1)
    server.denied = [("PUT", f"/{BUCKET}/vidrec/{hash_file(path)}")]
    output = vidrec("upload", path.parent, code=4).output
    assert "skipping" in output and "no permission to upload" in output
    assert not admin(server).list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert list(objects(server)) == [f"vidrec/{hash_file(small)}.mp4"]
    server.denied = []
    vidrec("upload", path.parent)
    assert len(objects(server)) == 2
    with Library(load_settings().library) as library:
        assert not library.failures()


def test_other_bytes_under_the_key_are_replaced_or_found_out(
    server: S3StandIn, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    key = f"vidrec/{hash_file(path)}.mp4"
    admin(server).put_object(Bucket=BUCKET, Key=key, Body=b"other")
    vidrec("upload", path)
    assert objects(server) == {key: path.stat().st_size}
    lie = {"sha256": hash_file(path)}
    swapped = bytes(reversed(path.read_bytes()))
    admin(server).put_object(Bucket=BUCKET, Key=key, Body=swapped, Metadata=lie)
    output = vidrec("upload", path, "--verify", code=4).output
    assert "holds other bytes" in output


def test_a_dry_run_changes_nothing(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    result = vidrec("upload", path, "--dry-run")
    assert f"s3://{BUCKET}/vidrec/{hash_file(path)}.mp4" in result.stdout
    assert objects(server) == {}
    assert not load_settings().library.exists()


def test_public_objects_are_read_without_a_signature(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    output = vidrec("upload", path, "--public", "--prefix", "open/").output
    assert "anyone who knows" in output
    url = f"{server.url}/{BUCKET}/open/{quote(hash_file(path))}.mp4"
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.read() == path.read_bytes()


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wr0ng-secret"}, "refuses the secret key"),
        ({"AWS_ACCESS_KEY_ID": "AKIDNOBODY"}, "refuses the access key"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no AWS credentials"),
        ({"VIDREC_S3_BUCKET": "not-there"}, "no bucket not-there"),
        ({"VIDREC_S3_BUCKET": "No Bucket!"}, "is no bucket name"),
        ({"VIDREC_S3_REGION": "us-west-2"}, "--region) to eu-west-1"),
        ({"VIDREC_S3_PROFILE": "nobody"}, "no AWS profile nobody"),
        ({"VIDREC_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot reach http://127.0.0.1:9"),
        ({"AWS_ENDPOINT_URL_S3": "nonsense", "VIDREC_S3_ENDPOINT_URL": ""}, "is no endpoint"),
    ],
)
def test_each_mistake_is_one_clear_line(
    server: S3StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    line: str,
) -> None:
    for name, value in environment.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name)
    path = write_video(tmp_path / "a.mp4", seconds=1)
    result = vidrec("upload", path, code=1)
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert "wr0ng" not in result.output and server.secret_key not in result.output


def test_a_wrong_clock_and_missing_rights_are_named(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    server.clock_offset = 7200
    assert "clock of this machine is wrong" in vidrec("upload", path, code=1).stderr
    server.clock_offset = 0
    server.denied = [("PUT", ".")]
    assert "no permission to upload to bucket my-videos" in vidrec("upload", path, code=4).stderr


def test_writing_without_the_right_to_list_is_fine(server: S3StandIn, tmp_path: Path) -> None:
    server.denied = [("GET", f"^/{BUCKET}/?$"), ("HEAD", ".")]
    path = write_video(tmp_path / "a.mp4", seconds=1)
    vidrec("upload", path)
    assert len(objects_of(server)) == 1


def objects_of(server: S3StandIn) -> dict[str, int]:
    server.denied = []
    return objects(server)


def test_an_s3_url_keeps_every_key(server: S3StandIn) -> None:
    for key in ("a.mp4", "ü & #1?x=%20 y.mp4", "deep/er/key"):
        assert parse_s3_url(s3_url(BUCKET, key)) == (BUCKET, key)
    with pytest.raises(UsageError):
        parse_s3_url("https://example.com/a")


def test_a_url_lives_at_most_a_week(server: S3StandIn) -> None:
    storage = S3Storage(load_settings().s3)
    with pytest.raises(UsageError, match="7 days"):
        storage.presign("s3://my-videos/a", 8 * 24 * 3600)


def test_storage_errors_carry_their_code(server: S3StandIn) -> None:
    with pytest.raises(StorageError) as caught:
        S3Storage(load_settings(overrides={"s3.bucket": "not-there"}).s3).check()
    assert caught.value.code == "NoSuchBucket"
    assert json.dumps(str(caught.value)).isascii()


def test_a_broken_link_does_not_stop_the_others(server: S3StandIn, tmp_path: Path) -> None:
    write_video(tmp_path / "v" / "b.mp4", seconds=1)
    (tmp_path / "v" / "a.mp4").symlink_to("nowhere.mp4")
    result = vidrec("upload", tmp_path / "v", tmp_path / "absent.mp4", code=4)
    assert "a.mp4: No such file" in result.stderr
    assert "uploaded 1 video," in result.stderr
    with Library(load_settings().library) as library:
        assert [Path(failure.source).name for failure in library.failures()] == ["a.mp4"]
