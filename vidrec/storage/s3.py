"""Object storage: AWS S3 and what speaks its language, through boto3.

An object's key is the prefix, the video's id and a safe extension, so that a rename or a second
run moves nothing. Objects are private unless asked otherwise; a presigned GET is made whenever
someone needs a URL. botocore's errors are told in one line each (``s3_errors``).
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

from vidrec.errors import StorageError, UsageError
from vidrec.storage.resume import Passing, Patience, Stream, download
from vidrec.storage.s3_client import Clients
from vidrec.storage.s3_parts import PART_BYTES, PartedUpload

if TYPE_CHECKING:
    from vidrec.sections import S3Settings
    from vidrec.types import Video

CHUNK = 1 << 16
PARTS_AT_ONCE = 4
# SigV4 allows no longer life of a presigned URL.
LONGEST_SECONDS = 7 * 24 * 3600
# What Python's table lacks or names differently from browsers.
CONTENT_TYPES = {
    ".mkv": "video/x-matroska", ".m4v": "video/x-m4v", ".ts": "video/mp2t", ".mts": "video/mp2t",
    ".avi": "video/x-msvideo", ".webm": "video/webm", ".ogv": "video/ogg", ".flv": "video/x-flv",
    ".wmv": "video/x-ms-wmv", ".3gp": "video/3gpp", ".gif": "image/gif", ".webp": "image/webp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object that exists. ``sha256`` is known for what vidrec uploaded."""

    bucket: str
    key: str
    size: int
    etag: str = ""
    sha256: str | None = None
    filename: str | None = None

    @property
    def url(self) -> str:
        return s3_url(self.bucket, self.key)


def s3_url(bucket: str, key: str) -> str:
    """Return the stable ``s3://`` URL of an object."""
    return f"s3://{bucket}/{quote(key, safe='/~-_.')}"


def parse_s3_url(url: str) -> tuple[str, str]:
    """Return (bucket, key or prefix) of an ``s3://`` URL.

    Raises:
        UsageError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise UsageError(f"{url} is no s3://bucket/key")
    return parts.netloc, unquote(url.split(parts.netloc, 1)[1].lstrip("/"))


def key_for(prefix: str, video: Video) -> str:
    """Return where a video lies: prefix, id, and an extension of plain letters and digits."""
    suffix = Path(video.filename).suffix.lower()
    safe = suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ""
    return f"{prefix}{video.id}{safe}"


def content_type(filename: str) -> str:
    """Return the media type that a browser needs in order to play a file."""
    suffix = Path(filename).suffix.lower()
    return CONTENT_TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0] or "video/mp4"


def disposition(filename: str) -> str:
    """Return what lets a browser play a file, and save it under its own name."""
    plain = re.sub(r"[^ -~]|[\\\"%]", "_", filename)
    named = f'inline; filename="{plain}"'
    return named if plain == filename else f"{named}; filename*=UTF-8''{quote(filename, safe='')}"


class S3Storage:
    """A bucket, by the settings; boto3 is loaded on first use. Safe to share between threads."""

    def __init__(
        self,
        settings: S3Settings,
        cache: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """``cache``: a folder that remembers where buckets lie; ``say`` is told of waits."""
        self.settings = settings
        self._clients = Clients(settings, cache and cache / "s3-regions.json", say)
        self._pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part")
        self._payer = self._clients.payer
        self.doing = self._clients.doing
        self.shortened = self._clients.shortened

    @property
    def bucket(self) -> str:
        """The bucket that uploads go to.

        Raises:
            UsageError: none is set.
        """
        if not self.settings.bucket:
            raise UsageError("no bucket: name one with --bucket or as [s3] bucket in the config")
        return self.settings.bucket

    @property
    def where(self) -> str:
        """The address that is asked, as it may be shown: known once a request was made."""
        return self._clients.where

    def check(self, bucket: str | None = None) -> None:
        """Find out at once whether the credentials, the bucket and its region are good.

        Raises:
            StorageError: they are not.
        """
        self._clients.locate(bucket or self.bucket, self.settings.prefix)

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return what is known of an object, None if there is none (or none may be seen)."""
        from botocore.exceptions import ClientError

        client = self._clients.of(bucket)
        with self.doing("look at", bucket):
            try:
                found = client.head_object(Bucket=bucket, Key=key, **self._payer)
            except ClientError as exc:
                status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
                # Without the right to list, S3 says 403 of what does not exist.
                if status in (403, 404):
                    return None
                raise
        return _object(bucket, key, found)

    def find_video(self, bucket: str, video: Video) -> S3Object | None:
        """Return the object that holds a video's bytes, whatever its name ended in then."""
        found = self.find(bucket, key_for(self.settings.prefix, video))
        if _is_whole(found, video):
            return found
        try:
            named = self.list(bucket, f"{self.settings.prefix}{video.id}")
        except StorageError as exc:
            if exc.code != "AccessDenied":
                raise
            return None
        for row in named:
            if row.size == video.size and _is_whole(there := self.find(bucket, row.key), video):
                return there
        return None

    def list(self, bucket: str, prefix: str) -> list[S3Object]:
        """Return the objects below a prefix, by key."""
        client = self._clients.of(bucket)
        with self.doing("list", bucket):
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, **self._payer
            )
            return [
                S3Object(bucket, row["Key"], row["Size"], row.get("ETag", "").strip('"'))
                for page in pages
                for row in page.get("Contents", [])
            ]

    def upload(
        self,
        path: Path,
        video: Video,
        progress: Callable[[int], None] = lambda count: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Upload a file, in parts when it is large; ``progress`` is told of bytes as they go.

        What an upload that was cut off sent before is not sent again.

        Raises:
            StorageError: it failed; the next try goes on with the parts that went through.
            Cancelled: the run ends.
        """
        key = key_for(self.settings.prefix, video)
        extra: dict[str, Any] = {
            "ContentType": content_type(video.filename),
            "ContentDisposition": disposition(video.filename),
            # Metadata is sent as ASCII headers: other letters travel percent-encoded.
            "Metadata": {"sha256": video.id, "filename": quote(video.filename, safe=" ()[]&+,=@")},
            **self._payer,
        }
        if self.settings.public:
            extra["ACL"] = "public-read"
        client = self._clients.of(self.bucket)
        if video.size >= PART_BYTES:
            parts = PartedUpload(
                client, self.doing, self._pool, self.bucket, key, path, video.size, extra,
                progress, cancelled,
            )  # fmt: skip
            parts.send()
            if parts.resumed and self.settings.public:  # who began it may not have asked for that
                self.publish(self.bucket, key)
        else:
            with self.doing("upload to", self.bucket), path.open("rb") as file:
                client.put_object(Bucket=self.bucket, Key=key, Body=file, **extra)
            progress(video.size)

    def publish(self, bucket: str, key: str) -> None:
        """Let anyone read an object that is there already.

        Raises:
            StorageError: the bucket, or its owner, does not allow that.
        """
        client = self._clients.of(bucket)
        with self.doing("open to everyone an object of", bucket):
            client.put_object_acl(Bucket=bucket, Key=key, ACL="public-read", **self._payer)

    def read(
        self,
        bucket: str,
        key: str,
        file: BinaryIO,
        guard: Callable[[int], None],
        patience: Patience | None = None,
    ) -> None:
        """Write an object's bytes into a file, going on where the connection breaks.

        ``guard`` is told how many there are by now, and may raise.

        Raises:
            StorageError: it cannot be read to its end.
            Cancelled: the run ends.
        """
        same = ""
        client = self._clients.of(bucket)

        @contextmanager
        def open_at(start: int) -> Iterator[Stream]:
            nonlocal same
            going_on = {"Range": f"bytes={start}-", "IfMatch": same} if start and same else {}
            try:
                with self.doing("download from", bucket):
                    answer = client.get_object(Bucket=bucket, Key=key, **going_on, **self._payer)
            except StorageError as exc:
                if exc.code not in ("PreconditionFailed", "InvalidRange"):
                    raise
                same = ""
                raise Passing(f"{s3_url(bucket, key)} changed while it was read") from exc
            same, first = answer.get("ETag", ""), start if going_on else 0
            with closing(answer["Body"]) as body:
                yield Stream(first, answer["ContentLength"] + first, _chunks(body, bucket, key))

        download(s3_url(bucket, key), open_at, file, guard, patience or Patience())

    def sha256(self, bucket: str, key: str) -> str:
        """Read an object back and return the SHA-256 of its bytes."""
        with TemporaryFile() as copy:
            self.read(bucket, key, cast("BinaryIO", copy), lambda got: None)
            copy.seek(0)
            digest = hashlib.sha256()
            while chunk := copy.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def presign(self, url: str, seconds: int) -> str:
        """Return a URL from which anyone may fetch an object for so long.

        No request is made, but for the first one that asks where the bucket lies.

        Raises:
            UsageError: the time is not between a second and seven days.
            StorageError: there are no credentials to sign with.
        """
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise UsageError(f"a URL lives from 1 second to 7 days. Received: {seconds} s")
        bucket, key = parse_s3_url(url)
        client = self._clients.of(bucket, asks=False)
        with self.doing("sign for", bucket):
            signed: str = client.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": key, **self._payer},
                ExpiresIn=seconds,
            )
        return signed


def _chunks(body: Any, bucket: str, key: str) -> Iterator[bytes]:
    """Yield bytes as they come.

    Raises:
        Passing: the connection breaks; it may hold the next time.
    """
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    stream = getattr(body, "_raw_stream", body)  # botocore's own would wait for the whole chunk
    read = getattr(stream, "read1", stream.read)
    try:
        while chunk := read(CHUNK):
            yield chunk
    except (BotoCoreError, HTTPError, OSError) as exc:
        raise Passing(f"{s3_url(bucket, key)} broke off: {exc}") from exc


def _is_whole(found: S3Object | None, video: Video) -> bool:
    return found is not None and found.size == video.size and found.sha256 == video.id


def _object(bucket: str, key: str, found: dict[str, Any]) -> S3Object:
    metadata = found.get("Metadata", {})
    name = metadata.get("filename")
    sha256 = metadata.get("sha256", "")
    return S3Object(
        bucket, key, found["ContentLength"], found.get("ETag", "").strip('"'),
        sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None, unquote(name) if name else None,
    )  # fmt: skip
