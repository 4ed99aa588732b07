"""Rows that come from elsewhere: what they may hold, and the videos and embeddings they mean."""

from __future__ import annotations

import hashlib
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from vidrec.errors import UsageError
from vidrec.exchange.rows import FLOATS, INTEGERS, TEXTS, Row, scalar
from vidrec.files import is_file, is_text
from vidrec.types import Embedding, Video, VideoInfo
from vidrec.urls import shown_url
from vidrec.vectors import unit_rows

_VIDEO_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TEXTS = (*TEXTS, "fingerprint")
_INTEGERS = tuple(name for name in INTEGERS if name != "dim")
_LARGEST = 2.0**53  # beyond it a float is no exact integer


def checked(row: Row, where: str) -> Row:
    """Return a row whose known columns have the right kinds; NaN is a missing value.

    Raises:
        UsageError: a value is of another kind; the message names row and column.
    """
    found = dict(row)
    for name in _TEXTS:
        found[name] = _text(row.get(name), f"{where}: {name}")
    for name in (*_INTEGERS, *FLOATS):
        number = _number(row.get(name), f"{where}: {name}")
        found[name] = int(number) if number is not None and name in _INTEGERS else number
    if found["embedder"]:
        checked_name(found["embedder"], f"{where}: embedder")
    found["extra"] = {
        _text(key, f"{where}: a column"): _plain(value, f"{where}: {key}")
        for key, value in row["extra"].items()
    }
    return found


def checked_name(name: str, what: str) -> str:
    """Return an embedder's name: it becomes part of file names and fingerprints.

    Raises:
        UsageError: it holds more than letters, digits, ``_``, ``.`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} is a name of letters, digits, _ . and -. Received: {name}")
    return name


def _text(value: Any, what: str) -> str | None:
    with suppress(TypeError):
        value = scalar(value)  # a date, say
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, (str, int, float)) or not is_text(str(value)):
        raise UsageError(f"{what} is no text. Received: {value!r}")
    return str(value)


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isnan(number):
        return None
    if abs(number) > _LARGEST:
        raise UsageError(f"{what} is no number. Received: {str(value)[:40]!r}")
    return number


def _plain(value: Any, what: str) -> Any:
    if isinstance(value, list):
        return [_plain(one, what) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _text(value, what) if isinstance(value, str) else value


def identity(row: Row, files: Path | None = None) -> str:
    """Return the id of a row's video: the hash of its bytes, or else of what names it.

    Only a file below the folder ``files`` is read: a row may name any path.

    Raises:
        UsageError: it names no video.
    """
    given = row["video_id"] or ""
    if _VIDEO_ID.fullmatch(given):
        return given
    path = row["path"]
    if files is not None and (path or row["filename"]):
        place = (files / (path or row["filename"])).resolve()
        there = place.is_relative_to(files.resolve()) and is_file(place)
        if there and row["size"] in (None, 0, place.stat().st_size):
            from vidrec.ingest.scan import hash_file

            row["path"] = str(place)
            return hash_file(place)
    name = given or row["url"] or path or row["filename"]
    if not name:
        raise UsageError(
            "a row names no video: it needs one of video_id, path, url, filename and id. "
            f"Received: {', '.join(key for key in row if row[key] is not None)}"
        )
    return hashlib.sha256(name.encode()).hexdigest()


def unit_vector(row: Row) -> Any:
    """Return a row's vector at unit length.

    Raises:
        UsageError: it has no direction.
    """
    name = str(row["filename"] or row["path"] or row["video_id"])
    return unit_rows(np.ascontiguousarray(row["vector"], np.float32)[None], [name])[0]


def readable_url(url: str) -> str:
    """Return a URL without what signs it; one put together from a bare file name is escaped."""
    if " " in url or "#" in url:
        url = quote(url, safe="%/:=&?~+!$,;'@()*[]")
    return shown_url(url)


def video_of(video_id: str, row: Row) -> Video:
    """Return the video that a row is of."""
    path, url = row["path"], row["url"] and readable_url(row["url"])
    name = row["filename"] or (path or url or video_id).rstrip("/").rpartition("/")[2]
    info = None
    if row["duration_sec"] is not None:
        info = VideoInfo(
            row["duration_sec"], row["width"] or 0, row["height"] or 0,
            row["fps"], row["codec"] or "", row["rotation"] or 0,
        )  # fmt: skip
    return Video(
        video_id, name, Path(path) if path else None, url, row["size"] or 0,
        row["label"], row["group"], info,
    )  # fmt: skip


def check_span(row: Row) -> None:
    """Check what a row says of its stretch of the video.

    Raises:
        UsageError: its scope is none, or it ends before it starts.
    """
    name, scope = row["filename"] or row["path"] or row["video_id"], row["scope"]
    if scope not in (None, "", "clip", "video"):
        raise UsageError(f"{name}: scope is clip or video. Received: {scope}")
    start, end = row["start_sec"] or 0.0, row["end_sec"]
    if end is not None and end < start:
        raise UsageError(f"{name}: a clip ends before it starts. Received: {start}-{end}")


def embedding_of(video: Video, fingerprint: str, row: Row) -> Embedding:
    """Return the embedding that a checked row is."""
    scope: Any = row["scope"] or ("clip" if row["start_sec"] is not None else "video")
    start, end = row["start_sec"] or 0.0, row["end_sec"]
    if end is None:
        end = max(video.duration_sec or start, start)
    return Embedding(video.id, fingerprint, scope, start, end, row["vector"], row["extra"])
