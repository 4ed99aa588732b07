"""Videos behind s3:// and https:// URLs, for local and paid embedders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.test_cloud_run import Cloud, cloud, embedded, vidrec
from tests.tiny_video import write_video
from vidrec.config import load_settings
from vidrec.errors import StorageError
from vidrec.ingest.remote import Remote
from vidrec.ingest.scan import hash_file
from vidrec.library import Library
from vidrec.storage.http import look, read
from vidrec.urls import stable_url

__all__ = ["cloud"]


class Site:
    """A folder behind http."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        folder.mkdir()
        handler = partial(_Handler, self.requests, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, requests: list[str], *args: object, **kwargs: object) -> None:
        self.requests = requests
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def send_head(self) -> Any:
        """What is in ``closed`` is for those who have a signature or a password."""
        login = self.headers.get("Authorization", "") == "Basic bWU6cEBzcw=="  # me:p@ss
        if self.path.startswith("/closed/") and not login and "sig=good" not in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def log_message(self, *args: object) -> None:
        self.requests.append(self.path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path / "site")
    yield found
    found.server.shutdown()
    found.server.server_close()


def cached() -> list[Path]:
    return sorted(Remote(load_settings()).folder.glob("*"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDREC_CACHE", str(tmp_path / "cache"))


def test_a_prefix_is_embedded_by_url(cloud: Cloud) -> None:
    paths = cloud.videos(3)
    vidrec("upload", cloud.folder, "--prefix", "shows/")
    (Path(load_settings().library) / "catalog.sqlite3").unlink()
    with Library(load_settings().library) as library:  # there were no credentials, say
        library.record_failure("marengo", "s3://my-videos/shows/", "refused", permanent=False)
    vidrec("embed", "s3://my-videos/shows/")
    with Library(load_settings().library) as library:
        assert library.failures() == []
    assert embedded() == {hash_file(path) for path in paths}
    assert not cloud.labs.calls("POST", "^/assets$")
    with Library(load_settings().library) as library:
        for video in library.videos():
            assert video.path is None
            assert video.url == f"s3://my-videos/shows/{video.id}.mp4"
    cloud.s3.log.clear()
    assert "3 skipped" in vidrec("embed", "s3://my-videos/shows/").output
    assert [method for method, _ in cloud.s3.log] == ["GET"]  # the listing
    vidrec("index")
    answer = vidrec(
        "recommend", "anything", "--format", "jsonl", "-k", 1, "--min-confidence", 0
    ).stdout
    assert "X-Amz-Signature" in answer  # no file of this machine: a URL that plays


def test_a_local_embedder_reads_through_the_cache(
    site: Site, prepared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache of its own"
    cache.mkdir()
    for kept in prepared_models.iterdir():  # shared by all tests, and so by what they fetched
        if kept.name != "remote":
            (cache / kept.name).symlink_to(kept)
    monkeypatch.setenv("VIDREC_CACHE", str(cache))
    write_video(site.folder / "größe #1.mp4", seconds=1)
    url = f"{site.url}/gr%C3%B6%C3%9Fe%20%231.mp4"
    result = vidrec("embed", url, "--dry-run")
    assert url in result.stdout and "unknown length" in result.stderr
    assert not cached()
    vidrec("embed", url)
    assert len(cached()) == 1
    with Library(load_settings().library) as library:
        (video,) = library.videos()
        assert (video.filename, video.path, video.url) == ("größe #1.mp4", None, url)
    vidrec("index")
    assert url in vidrec("recommend", "anything", "-f", "paths", "--min-confidence", 0).stdout


def test_a_changed_file_is_seen_and_an_unchanged_one_is_not_read(cloud: Cloud, site: Site) -> None:
    path = write_video(site.folder / "a.mp4", seconds=4, seed=1)
    first = hash_file(path)
    url = f"{site.url}/a.mp4"
    vidrec("embed", url)
    assert "1 skipped" in vidrec("embed", url).output
    assert embedded() == {first}
    write_video(path, seconds=5, seed=2)
    vidrec("embed", url)
    assert embedded() == {first, hash_file(path)}
    with Library(load_settings().library) as library:
        assert {video.id: video.url for video in library.videos()} == {
            first: None,
            hash_file(path): url,
        }


def test_the_cache_stays_within_its_limit(
    cloud: Cloud, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDREC_REMOTE_CACHE_MB", "1")
    for number in range(4):
        write_video(site.folder / f"{number}.mp4", seconds=4, seed=number)
        with (site.folder / f"{number}.mp4").open("ab") as file:
            file.write(b"\0" * 400_000)
    urls = [f"{site.url}/{number}.mp4" for number in range(4)]
    vidrec("embed", *urls, "--jobs", 1)
    assert len(embedded()) == 4
    assert 1 <= len(cached()) <= 2
    assert sum(path.stat().st_size for path in cached()) <= 1_000_000
    with (site.folder / "0.mp4").open("ab") as file:
        file.write(b"\0" * 800_000)
    assert "more than the cache may hold" in vidrec("embed", urls[0], code=4).output


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.mp4", "HTTP 404"),
        ("page.html", "is a web page"),
        ("text.mp4", "not a video"),
    ],
)
def test_what_is_no_video_is_named(cloud: Cloud, site: Site, name: str, problem: str) -> None:
    (site.folder / "page.html").write_text("<html></html>")
    (site.folder / "text.mp4").write_text("words")
    output = vidrec("embed", f"{site.url}/{name}", code=4).output
    assert problem in output and f"{site.url}/{name}" in output
    assert not cloud.labs.tasks


def test_an_unknown_object_or_bucket_is_named(cloud: Cloud) -> None:
    assert "no video has a key" in vidrec("embed", "s3://my-videos/none/", code=4).output
    assert "no bucket elsewhere" in vidrec("embed", "s3://elsewhere/none/", code=4).output


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://u:p@e.org/a.mp4?X-Amz-Signature=1&X-Amz-Date=2", "https://e.org/a.mp4"),
        ("https://e.org/a?Expires=1&Signature=2&Key-Pair-Id=3&v=4", "https://e.org/a?v=4"),
        ("https://e.org/a?sv=1&se=2&sr=b&sp=r&sig=3", "https://e.org/a"),
        ("https://e.org/get?id=7&token=secret", "https://e.org/get?id=7"),
        ("https://e.org/watch?v=3&st=9#t=4", "https://e.org/watch?v=3&st=9"),
    ],
)
def test_what_opens_a_url_is_not_written_down(url: str, kept: str) -> None:
    assert stable_url(url) == kept


@pytest.fixture
def closed(site: Site) -> str:
    write_video(site.folder / "closed" / "a.mp4", seconds=4)
    return f"{site.url}/closed/a.mp4"


def test_a_signed_url_is_given_to_the_service_but_not_kept(cloud: Cloud, closed: str) -> None:
    assert "HTTP 403" in vidrec("embed", closed, code=4).output
    result = vidrec("embed", f"{closed}?sig=good")
    assert not cloud.labs.calls("POST", "^/assets$")  # it was fetched
    assert "sig=" not in result.output + vidrec("list").output + vidrec("status").output
    (path,) = {str(p) for p in load_settings().library.glob("catalog.sqlite3")}
    assert b"sig=good" not in Path(path).read_bytes()


def test_a_password_goes_to_the_server_and_nowhere_else(cloud: Cloud, closed: str) -> None:
    url = closed.replace("//", "//me:p%40ss@")
    result = vidrec("embed", url)
    assert cloud.labs.calls("POST", "^/assets$")  # the service got the file, not the password
    assert "p%40ss" not in result.output + vidrec("list").output
    failing = vidrec("embed", url.replace("a.mp4", "b.mp4"), code=4)
    assert "HTTP 404" in failing.output and "p%40ss" not in failing.output


def test_a_url_is_what_it_names_not_what_opens_it(cloud: Cloud, site: Site) -> None:
    for name in "ab":
        write_video(site.folder / f"{name}.mp4", seconds=4, seed=ord(name))
    # The path alone would be one video: servers choose by parameters, too.
    urls = [f"{site.url}/{name}.mp4?id={name}&token=t" for name in "ab"]
    assert "embedded 2 videos" in vidrec("embed", *urls).output
    same = f"{site.url}/a.mp4?token="
    assert "embedded 0 videos" in vidrec("embed", f"{same}1", f"{same}2").output
    assert "no URL" in vidrec("embed", "http://[::1/x.mp4", code=4).output
    assert "1 skipped" in vidrec("embed", f"HTTP{site.url[4:]}/a.mp4").output


def test_a_server_that_is_gone_is_named(site: Site) -> None:
    with pytest.raises(StorageError, match="cannot be reached"):
        look("http://127.0.0.1:9/a.mp4")
    (site.folder / "a.bin").write_bytes(b"12345")
    with (site.folder / "copy").open("w+b") as file:
        read(f"{site.url}/a.bin", file, lambda got: None)
    assert (site.folder / "copy").read_bytes() == b"12345"


def test_a_url_of_the_library_is_a_query(cloud: Cloud, site: Site) -> None:
    for seed in (1, 2):
        write_video(site.folder / f"{seed}.mp4", seconds=4, seed=seed)
    write_video(site.folder / "plain.mp4", seconds=4, seed=3).rename(site.folder / "plain")
    vidrec("embed", f"{site.url}/1.mp4", f"{site.url}/2.mp4", f"{site.url}/plain?id=3&token=t")
    vidrec("index")
    site.requests.clear()
    for name in ("1.mp4", "plain?id=3", "plain?id=3&token=other"):
        found = vidrec("recommend", f"{site.url}/{name}", "-f", "paths", "-k", 9).stdout.split()
        assert len(found) == 2 and f"{site.url}/{name.split('&')[0]}" not in found
    said = vidrec("recommend", f"{site.url}/3.mp4?token=secret", code=2).stderr
    assert f"no video of the library has the URL {site.url}/3.mp4:" in said
    assert site.requests == []


def test_credentials_that_end_before_the_urls_are_said(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.videos(2)
    vidrec("upload", cloud.folder)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert vidrec("embed", cloud.folder).stderr.count("temporary AWS credentials") == 1
