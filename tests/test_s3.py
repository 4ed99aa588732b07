"""What AWS's own settings say, where buckets lie, who may read, and uploads that are cut off."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from tests.standin_s3 import Refusal, S3StandIn
from tests.test_upload import BUCKET, admin, large_video, objects, server, vidrec
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.errors import StorageError
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.storage.s3 import S3Storage, disposition
from vidrec.storage.s3_parts import PART_BYTES, part_bytes
from vidrec.types import Video

__all__ = ["server"]


class Old(S3StandIn):
    """A server from before the newer checksums; it notes the headers that it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []

    def _check(self, environ: dict[str, Any], *rest: Any) -> None:
        names = [name for name in environ if name.startswith("HTTP_X_AMZ_")]
        self.headers.append({name: environ[name] for name in names})
        if any("CHECKSUM" in name or "TRAILER" in name for name in names):
            raise Refusal("501 Not Implemented", "NotImplemented", "a header is not implemented")
        super()._check(environ, *rest)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    with Old() as standin:
        for name, value in standin.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", standin.region)
        monkeypatch.setenv("VIDREC_S3_BUCKET", BUCKET)
        monkeypatch.setenv("VIDREC_S3_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        where = {"LocationConstraint": standin.region}
        admin(standin).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION")
        yield standin


def storage(**flags: object) -> S3Storage:
    settings = load_settings(overrides={f"s3.{name}": value for name, value in flags.items()})
    return S3Storage(settings.s3, settings.cache)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("way", ["flag", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "file"])
def test_an_endpoint_is_one_however_it_is_named(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    options: list[object] = []
    if way == "flag":
        options = ["--endpoint-url", old.url]
    elif way == "file":
        (tmp_path / "config").write_text(f"[default]\nendpoint_url = {old.url}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(way, old.url)
    vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1), *options)
    assert any("/my-videos/vidrec/" in path for method, path in old.log if method == "PUT")


def test_awss_own_switch_is_obeyed(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", old.url)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    path = write_video(tmp_path / "a.mp4", seconds=1)
    assert "NotImplemented" in vidrec("upload", path, code=4).stderr


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "cannot reach http://127.0.0.1:1"),
        ({"AWS_ENDPOINT_URL_S3": "http://u:PASS@127.0.0.1:1"}, "cannot reach http://127.0.0.1:1"),
        ({"AWS_PROFILE": "nobody\n"}, "no AWS profile nobody:"),
        ({"AWS_DEFAULT_REGION": "us east"}, "us east is no region"),
        ({"AWS_ACCESS_KEY_ID": "hid den"}, "AWS_ACCESS_KEY_ID holds spaces or letters"),
        ({"AWS_SECRET_ACCESS_KEY": "hid\nden"}, "AWS_SECRET_ACCESS_KEY holds spaces"),
    ],
)
def test_messages_name_what_was_used(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str],
    line: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", old.url)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    error = vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1), code=1).stderr
    assert line in error
    assert "PASS" not in error and "hid" not in error


def files(folder: Path, config: str) -> dict[str, str]:
    """What has AWS's tools read these settings, and no keys of the environment."""
    (folder / "config").write_text(config)
    return {
        "AWS_CONFIG_FILE": str(folder / "config"), "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("[default]\ns3 = here\n", "AWS's own settings cannot be read"),
        (
            '[default]\ncredential_process = echo \'{"Version": 1, "AccessKeyId": "a", '
            '"SecretAccessKey": "b", "Expiration": "2020-01-01T00:00:00Z"}\'\n',
            "the AWS credentials have ended: sign in again",
        ),
        ("[default]\ncredential_process = sh -c 'echo hidden >&2; false'\n", "get-caller-identity"),
        (
            "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\n"
            "sso_region = eu-west-1\nsso_start_url = https://x.invalid/start\n",
            "sign in again (`aws sso login`)",
        ),
    ],
)
def test_what_is_wrong_with_awss_own_files_is_one_line(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, line: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", old.url)
    for name, value in files(tmp_path, config).items():
        monkeypatch.setenv(name, value)
    error = vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1), code=1).stderr
    assert line in error and error.count("\n") == 1 and "hidden" not in error


def test_keys_of_the_environment_count_beside_a_named_profile(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with AWS's own tools: the profile names the server, the variables hold the keys."""
    (tmp_path / "config").write_text(f"[profile p]\nendpoint_url = {old.url}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", " p\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1))


@pytest.mark.parametrize(
    ("code", "kind", "body"),
    [
        (200, "text/html", b"<html></html>"),
        (200, "application/json", b'{"a": 1}'),
        (200, "text/plain", b""),
        (302, "text/html", b""),
    ],
)
def test_what_is_no_object_storage_takes_no_upload(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: str, body: bytes
) -> None:
    """The web console of a server, say, beside its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(code)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(len(body))), ("Location", "/login"),
            ):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        error = vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1), code=1).stderr
        server.shutdown()
    assert f"what answers at {url} is no object storage" in error and "Traceback" not in error


def test_white_space_around_what_aws_is_told_is_no_part_of_it(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f" {old.url}\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{old.access_key}\r")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f" {old.secret_key}\n")
    vidrec("upload", write_video(tmp_path / "a.mp4", seconds=1))


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        content: bytes = response.read()
        return content


def test_where_a_bucket_lies_is_found_once(
    server: S3StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDREC_S3_REGION")
    path = write_video(tmp_path / "a.mp4", seconds=1)
    vidrec("upload", path)
    server.log.clear()
    url = f"s3://{BUCKET}/vidrec/{hash_file(path)}.mp4"
    signed = storage().presign(url, 60)  # in another process, it might be
    assert server.log == []
    assert get(signed) == path.read_bytes()
    (tmp_path / "cache" / "s3-regions.json").unlink()
    assert get(storage().presign(url, 60)) == path.read_bytes()


def test_a_signed_url_names_the_buckets_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "cache").mkdir()
    memory = '{"AWS S3 away": "eu-west-3", "AWS S3 home": "us-east-1", "AWS S3 bad": 1}'
    (tmp_path / "cache" / "s3-regions.json").write_text(memory)
    for bucket, region in (("away", "eu-west-3"), ("home", "us-east-1")):
        url = urlsplit(storage().presign(f"s3://{bucket}/a.mp4", 60))
        assert url.hostname == f"{bucket}.s3.{region}.amazonaws.com"
        assert f"%2F{region}%2Fs3" in url.query


def test_anyone_may_read_what_is_public_without_keys(
    server: S3StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    vidrec("upload", path, "--public")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    key = f"vidrec/{hash_file(path)}.mp4"
    with pytest.raises(StorageError, match=r"anyone may read set \[s3\] anonymous"):
        storage().find(BUCKET, key)
    reader = storage(anonymous=True)
    assert reader.sha256(BUCKET, key) == hash_file(path)
    assert "Signature" not in (url := reader.presign(f"s3://{BUCKET}/{key}", 60))
    assert get(url) == path.read_bytes()


def test_who_reads_pays_if_asked(old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", old.url)
    monkeypatch.setenv("VIDREC_S3_REQUESTER_PAYS", "true")
    path = write_video(tmp_path / "a.mp4", seconds=1)
    old.headers.clear()
    vidrec("upload", path, "--verify")
    assert {sent.get("HTTP_X_AMZ_REQUEST_PAYER") for sent in old.headers} == {"requester"}
    url = storage().presign(f"s3://{BUCKET}/vidrec/{hash_file(path)}.mp4", 60)
    assert "x-amz-request-payer=requester" in url


def test_public_opens_what_is_there_already(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    vidrec("upload", path)
    url = f"{server.url}/{BUCKET}/vidrec/{hash_file(path)}.mp4"
    with pytest.raises(HTTPError):
        get(url)
    assert "1 of them opened" in vidrec("upload", path, "--public").output
    assert get(url) == path.read_bytes()
    server.denied = [("PUT", ".")]
    assert "no permission to open to everyone" in vidrec("upload", path, "--public", code=4).stderr


def test_the_ending_of_a_name_makes_no_other_object(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    vidrec("upload", path)
    other = path.rename(tmp_path / "a.mov")
    assert "1 there before" in vidrec("upload", other).output
    assert list(objects(server)) == [f"vidrec/{hash_file(other)}.mp4"]
    with Library(load_settings().library) as library:
        assert [(v.url or "")[-4:] for v in library.videos()] == [".mp4"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.mp4", 'inline; filename="a b.mp4"'),
        ('ü "1".mp4', "inline; filename=\"_ _1_.mp4\"; filename*=UTF-8''%C3%BC%20%221%22.mp4"),
        ("a\r\nX: 1.mp4", "inline; filename=\"a__X: 1.mp4\"; filename*=UTF-8''a%0D%0AX%3A%201.mp4"),
    ],
)
def test_a_browser_saves_it_under_its_name(name: str, header: str) -> None:
    assert disposition(name) == header


def test_a_file_name_goes_with_the_object(server: S3StandIn, tmp_path: Path) -> None:
    path = write_video(tmp_path / "größe.mp4", seconds=1)
    vidrec("upload", path)
    head = admin(server).head_object(Bucket=BUCKET, Key=f"vidrec/{hash_file(path)}.mp4")
    assert head["ContentDisposition"] == disposition("größe.mp4")


def parts_sent(server: S3StandIn) -> int:
    return sum(method == "PUT" for method, _ in server.log)


def test_a_large_upload_goes_on_where_it_was_cut_off(server: S3StandIn, tmp_path: Path) -> None:
    path = large_video(tmp_path / "large.mp4", 70)  # five parts
    refused: list[str] = []
    let_through = threading.Semaphore(2)

    def cut(method: str, path: str) -> None:
        if method == "PUT" and not let_through.acquire(blocking=False):
            refused.append(path)
            raise Refusal("400 Bad Request", "Cut", "cut off")

    server.before = cut
    vidrec("upload", path, code=4)
    assert refused and objects(server) == {}
    server.before = lambda method, path: None
    (begun,) = admin(server).list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    there = admin(server).list_parts(Bucket=BUCKET, Key=begun["Key"], UploadId=begun["UploadId"])
    server.log.clear()
    vidrec("upload", path, "--verify")
    assert 0 < parts_sent(server) == 5 - len(there["Parts"]) < 5
    assert list(objects(server).values()) == [70 << 20]
    assert not admin(server).list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_two_uploads_of_one_file_side_by_side_succeed(server: S3StandIn, tmp_path: Path) -> None:
    path = large_video(tmp_path / "large.mp4", 40)
    video = Video(hash_file(path), path.name, path, size=path.stat().st_size)
    with ThreadPoolExecutor(3) as pool:
        sent = [pool.submit(storage().upload, path, video) for _ in range(3)]
    for future in sent:
        future.result()
    assert storage().sha256(BUCKET, f"vidrec/{video.id}.mp4") == video.id
    assert not admin(server).list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_parts_are_few_enough_and_always_the_same() -> None:
    assert part_bytes(1) == part_bytes(PART_BYTES * 10_000) == PART_BYTES
    for size in (PART_BYTES * 10_000 + 1, 5 << 40):
        assert -(-size // part_bytes(size)) <= 10_000


class Cut(S3StandIn):
    """Hangs up in the middle of the first answers."""

    cuts = 2

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(super().__call__(environ, start_response))
        if environ["REQUEST_METHOD"] == "GET" and len(body) > 2_000_000 and self.cuts:
            self.cuts -= 1
            return self._half(body)
        return [body]

    def _half(self, body: bytes) -> Iterator[bytes]:
        yield body[: 3 * len(body) // 8]
        raise ConnectionResetError


def test_a_broken_download_from_s3_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Cut() as cut:
        for name, value in cut.environment().items():
            monkeypatch.setenv(name, value)
        where = {"LocationConstraint": cut.region}
        admin(cut).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        content = large_video(tmp_path / "a.mp4", 8).read_bytes()
        admin(cut).put_object(Bucket=BUCKET, Key="a.mp4", Body=content)
        reader = storage(endpoint_url=cut.url, region=cut.region, attempts=1)
        assert reader.sha256(BUCKET, "a.mp4") == hash_file(tmp_path / "a.mp4")
        assert cut.cuts == 0


@pytest.mark.parametrize(
    ("minutes", "said"), [(30, "end at"), (300, ""), (None, "temporary AWS credentials")]
)
def test_a_url_that_outlives_its_session_is_said(
    monkeypatch: pytest.MonkeyPatch, minutes: int | None, said: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert storage().shortened(3600) == ""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    if minutes is not None:
        ends = datetime.fromtimestamp(time.time(), timezone.utc) + timedelta(minutes=minutes)
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    found = storage().shortened(3600)
    assert said in found and bool(said) == bool(found)
