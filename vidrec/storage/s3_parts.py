"""Large uploads in parts that are kept: what was cut off goes on where it stood.

Two uploads of one file at a time share the parts. The object's key holds the hash of its bytes, so
whatever was begun under it is of the same file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidrec.errors import Cancelled, StorageError

PART_BYTES = 16 << 20
MOST_PARTS = 10_000
# What a store says that knows no such request, or does not let us ask it.
_UNASKED = ("AccessDenied", "NotImplemented", "MethodNotAllowed", "NoSuchUpload")


def part_bytes(size: int) -> int:
    """Return how large the parts of a file of that size are: always the same."""
    least = math.ceil(size / MOST_PARTS / PART_BYTES)
    return PART_BYTES * max(1, least)


@dataclass(slots=True)
class PartedUpload:
    """One file on its way into a bucket."""

    client: Any
    doing: Callable[[str, str], AbstractContextManager[None]]
    pool: Executor
    bucket: str
    key: str
    path: Path
    size: int
    extra: Mapping[str, Any]
    progress: Callable[[int], None]
    cancelled: Callable[[], bool]
    resumed: bool = field(default=False, init=False)
    place: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.place = {"Bucket": self.bucket, "Key": self.key}

    def send(self) -> None:
        """Upload what is missing and make the object.

        Raises:
            StorageError: it failed; the parts that went through are there for the next try.
        """
        upload, there = self._begun() or (self._new(), {})
        self.resumed = bool(there)
        length = part_bytes(self.size)
        numbers = range(1, math.ceil(self.size / length) + 1)
        sent = [self.pool.submit(self._part, upload, n, length, there.get(n)) for n in numbers]
        try:
            done = [
                {"PartNumber": number, "ETag": part.result()}
                for number, part in zip(numbers, sent, strict=True)
            ]
            with self.doing("upload to", self.bucket):
                self.client.complete_multipart_upload(
                    **self.place, UploadId=upload, MultipartUpload={"Parts": done}
                )
        except StorageError:
            for part in sent:
                part.cancel()
            wait(sent)
            if self._is_there():
                return  # who sent it beside us was the first to end it
            if not self._parts(upload):
                self._abort(upload)
            raise
        self._drop_others()

    def _new(self) -> str:
        with self.doing("upload to", self.bucket):
            return str(self.client.create_multipart_upload(**self.place, **self.extra)["UploadId"])

    def _begun(self) -> tuple[str, dict[int, dict[str, Any]]] | None:
        """Return the upload of this object that was begun and has most parts, with those."""
        found = [(upload, self._parts(upload)) for upload in self._uploads()]
        return max(found, key=lambda one: len(one[1]), default=None)

    def _uploads(self) -> list[str]:
        rows = self._rows("list_multipart_uploads", "Uploads", Bucket=self.bucket, Prefix=self.key)
        return [str(row["UploadId"]) for row in rows if row["Key"] == self.key]

    def _parts(self, upload: str) -> dict[int, dict[str, Any]]:
        rows = self._rows("list_parts", "Parts", **self.place, UploadId=upload)
        return {int(row["PartNumber"]): row for row in rows}

    def _rows(self, listing: str, name: str, **asked: str) -> list[dict[str, Any]]:
        """Return the rows of a listing; none where the store does not tell."""
        try:
            with self.doing("list", self.bucket):
                pages = self.client.get_paginator(listing).paginate(**asked)
                return [row for page in pages for row in page.get(name, [])]
        except StorageError as exc:
            if exc.code not in _UNASKED:
                raise
            return []

    def _drop_others(self) -> None:
        """Drop what else was begun of this object: parts cost money, unseen."""
        for upload in self._uploads():
            self._abort(upload)

    def _part(self, upload: str, number: int, length: int, there: dict[str, Any] | None) -> str:
        """Upload one part, unless it is there; return its ETag."""
        if self.cancelled():
            raise Cancelled("interrupted")
        with self.path.open("rb") as file:
            file.seek((number - 1) * length)
            body = file.read(min(length, self.size - (number - 1) * length))
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if there and there["Size"] == len(body) and there["ETag"].strip('"') == digest:
            etag = there["ETag"]
        else:
            with self.doing("upload to", self.bucket):
                etag = self.client.upload_part(
                    **self.place, UploadId=upload, PartNumber=number, Body=body
                )["ETag"]
        self.progress(len(body))
        return str(etag)

    def _is_there(self) -> bool:
        try:
            with self.doing("look at", self.bucket):
                found = self.client.head_object(**self.place)
        except StorageError:
            return False
        same = found.get("Metadata", {}).get("sha256") == self.extra["Metadata"]["sha256"]
        return bool(same and found["ContentLength"] == self.size)

    def _abort(self, upload: str) -> None:
        """Leave nothing where nothing went through."""
        with suppress(StorageError), self.doing("upload to", self.bucket):  # told is why it failed
            self.client.abort_multipart_upload(**self.place, UploadId=upload)
