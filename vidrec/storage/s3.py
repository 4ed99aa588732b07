"""Object storage: AWS S3 and what speaks its language, through boto3.

An object's key is the prefix, the video's id and a safe extension, so that a rename or a second
run moves nothing. Objects are private unless asked otherwise; a presigned GET is made whenever
someone needs a URL. botocore's errors are told in one line each (``s3_errors``).
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

from vidrec.errors import StorageError, UsageError
from vidrec.storage.resume import Passing, Patience, Stream, download
from vidrec.storage.s3_errors import Doing, wrong_region

if TYPE_CHECKING:
    from vidrec.config import S3Settings
    from vidrec.types import Video

CHUNK = 1 << 16
PART_BYTES = 16 << 20
ASK_SECONDS = 20
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


class S3Storage:
    """A bucket, by the settings; boto3 is loaded on first use. Safe to share between threads."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._made: Any = None
        self._mutex = threading.Lock()

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
    def client(self) -> Any:
        """The boto3 client.

        Raises:
            StorageError: the profile or the region is unknown.
        """
        with self._mutex:
            if self._made is None:
                self._made = self._connect(self.settings.region)
            return self._made

    def _connect(self, region: str | None) -> Any:
        import boto3
        from botocore.config import Config

        custom = self.settings.endpoint_url is not None
        # Other servers than AWS may not know the newer checksums, nor a bucket in the host name.
        checksums = "when_required" if custom else "when_supported"
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if custom else "auto"},
            retries={"mode": "standard", "max_attempts": self.settings.attempts},
            connect_timeout=ASK_SECONDS,
            read_timeout=60,
            max_pool_connections=64,
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        )
        with self.doing("open", None):
            session = boto3.Session(profile_name=self.settings.profile)
            return session.client(
                "s3",
                region_name=region or session.region_name or "us-east-1",
                endpoint_url=self.settings.endpoint_url,
                config=config,
            )

    def doing(self, action: str, bucket: str | None) -> Doing:
        """A block whose botocore errors become StorageErrors that name the action."""
        return Doing(action, bucket, self.settings)

    def check(self, bucket: str | None = None) -> None:
        """Find out at once whether the credentials, the bucket and its region are good.

        A listing is asked for, since only GET answers say what is wrong. Being allowed to write
        but not to list is fine. Where no region was named, the bucket's is taken.

        Raises:
            StorageError: they are not.
        """
        bucket = bucket or self.bucket
        regions: list[str] = []

        def note_region(request: Any, **rest: object) -> None:
            signed = re.search(rb"Credential=[^/]+/\d+/([^/]+)/", _bytes(request.headers))
            regions.extend([signed[1].decode()] if signed else [])

        # boto3 follows a bucket to its region by itself, but presigned URLs would not.
        self.client.meta.events.register("before-send.s3.ListObjectsV2", note_region)
        try:
            with self.doing("list", bucket):
                self.client.list_objects_v2(Bucket=bucket, MaxKeys=1, Prefix=self.settings.prefix)
        except StorageError as exc:
            if exc.code != "AccessDenied":
                raise
        finally:
            self.client.meta.events.unregister("before-send.s3.ListObjectsV2", note_region)
        if regions and regions[-1] != self.client.meta.region_name:
            if self.settings.region is not None:
                raise wrong_region(bucket, regions[-1])
            self._made = self._connect(regions[-1])

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return what is known of an object, None if there is none (or none may be seen)."""
        from botocore.exceptions import ClientError

        with self.doing("look at", bucket):
            try:
                found = self.client.head_object(Bucket=bucket, Key=key)
            except ClientError as exc:
                status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
                # Without the right to list, S3 says 403 of what does not exist.
                if status in (403, 404):
                    return None
                raise
        return _object(bucket, key, found)

    def list(self, bucket: str, prefix: str) -> list[S3Object]:
        """Return the objects below a prefix, by key."""
        with self.doing("list", bucket):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            return [
                S3Object(bucket, row["Key"], row["Size"], row.get("ETag", "").strip('"'))
                for page in pages
                for row in page.get("Contents", [])
            ]

    def upload(
        self, path: Path, video: Video, progress: Callable[[int], None] = lambda count: None
    ) -> S3Object:
        """Upload a file, in parts when it is large; ``progress`` is told of bytes as they go.

        What an upload that was cut off left behind is removed first.

        Raises:
            StorageError: it failed; nothing half-done stays.
        """
        from boto3.s3.transfer import TransferConfig

        key = key_for(self.settings.prefix, video)
        extra: dict[str, Any] = {
            "ContentType": content_type(video.filename),
            # Metadata is sent as ASCII headers: other letters travel percent-encoded.
            "Metadata": {"sha256": video.id, "filename": quote(video.filename, safe=" ()[]&+,=@")},
        }
        if self.settings.public:
            extra["ACL"] = "public-read"
        transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4
        )
        if video.size >= PART_BYTES:
            self._abort_unfinished(key)
        with self.doing("upload to", self.bucket):
            self.client.upload_file(
                str(path), self.bucket, key, ExtraArgs=extra, Callback=progress, Config=transfer
            )
        return S3Object(self.bucket, key, video.size, sha256=video.id, filename=video.filename)

    def _abort_unfinished(self, key: str) -> None:
        """Abort uploads of this object that were cut off: their parts cost money, unseen."""
        try:
            with self.doing("list", self.bucket):
                found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=key)
                for row in found.get("Uploads", []):
                    if row["Key"] == key:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=key, UploadId=row["UploadId"]
                        )
        except StorageError as exc:
            if exc.code not in ("AccessDenied", "NotImplemented", "NoSuchUpload"):
                raise

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

        @contextmanager
        def open_at(start: int) -> Iterator[Stream]:
            nonlocal same
            going_on = {"Range": f"bytes={start}-", "IfMatch": same} if start and same else {}
            try:
                with self.doing("download from", bucket):
                    answer = self.client.get_object(Bucket=bucket, Key=key, **going_on)
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
        """Return a URL from which anyone may fetch an object for so long. No request is made.

        Raises:
            UsageError: the time is not between a second and seven days.
            StorageError: there are no credentials to sign with.
        """
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise UsageError(f"a URL lives from 1 second to 7 days. Received: {seconds} s")
        bucket, key = parse_s3_url(url)
        with self.doing("sign for", bucket):
            signed: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
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


def _bytes(headers: Any) -> bytes:
    value = headers.get("Authorization", b"")
    return value if isinstance(value, bytes) else str(value).encode()


def _object(bucket: str, key: str, found: dict[str, Any]) -> S3Object:
    metadata = found.get("Metadata", {})
    name = metadata.get("filename")
    sha256 = metadata.get("sha256", "")
    return S3Object(
        bucket,
        key,
        found["ContentLength"],
        found.get("ETag", "").strip('"'),
        sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
        unquote(name) if name else None,
    )
