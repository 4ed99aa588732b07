"""Metadata: what the user says of videos: fields of their own, and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vidrec.config import Settings
from vidrec.csvfile import csv_rows, read_text
from vidrec.errors import UsageError
from vidrec.files import expanded, is_text, parsed_json
from vidrec.library import Library
from vidrec.types import Scalar, Video
from vidrec.wording import did_you_mean, not_held

NAMES = ("file", "filename", "path", "url", "video_id", "id")
# Turns a word into what it reads as.
Reading = Callable[[str], Scalar]


@dataclass(slots=True)
class MetadataReport:
    """What was set of how many videos; ``unknown`` says which rows were left out, and why.

    A label counts where it is another than before.
    """

    videos: int = 0
    values: int = 0
    unknown: list[str] = field(default_factory=list)


def tag(settings: Settings, names: Sequence[str], fields: Mapping[str, Scalar]) -> MetadataReport:
    """Set fields of videos; None removes one, and ``label`` is the video's own.

    Raises:
        UsageError: a video is not in the library, or a field's name cannot be.
    """
    with Library(settings.library, create=False) as library:
        videos = [find_video(library, name) for name in names]
        return _apply(library, [(video.id, fields) for video in videos], MetadataReport())


def read_metadata(settings: Settings, path: Path, reading: Reading) -> MetadataReport:
    """Set the fields that a CSV or JSON lines file says, joined by file name.

    Raises:
        UsageError: it cannot be read, or has no column that names a video.
    """
    report = MetadataReport()
    rows = list(_rows(path, reading, report.unknown))
    with Library(settings.library, create=False) as library:
        known = library.ids_of([name for name, _ in rows])
        short = {name: PurePosixPath(name.replace("\\", "/")).name for name, _ in rows}
        known |= library.ids_of(sorted({short[name] for name, _ in rows if name not in known}))
        found = []
        for name, fields in rows:
            ids = set(known.get(name) or known.get(short[name]) or ())
            if len(ids) == 1:
                found.append((ids.pop(), fields))
            else:
                why = f"{len(ids)} videos are named so" if ids else "not in the library"
                report.unknown.append(f"{name}: {why}")
        _apply(library, found, report)
    return report


def find_video(library: Library, name: str) -> Video:
    """Return the one video of an ``id:…``, a path, a URL, a file name or a whole id.

    Raises:
        UsageError: there is none, or there are several.
    """
    if name.startswith("id:"):
        return library.find_video(name.removeprefix("id:"))
    ids = ids_named(library, name)
    if not ids:
        names = (row[0] for row in library.read("SELECT filename FROM videos LIMIT 20000"))
        hint = did_you_mean(PurePosixPath(name).name, names)
        raise UsageError(f"{not_held(name)}{hint} (`vidrec list` shows what is)")
    found = library.video(ids[0])
    assert found is not None
    return found


def ids_named(library: Library, name: str) -> list[str]:
    """Return the id of the video of a path, a URL, a file name or a whole id, if there is one.

    Raises:
        UsageError: there are several.
    """
    path = str(expanded(name).absolute())
    known = library.ids_of([path, name]) if is_text(path) else {}
    ids = list(dict.fromkeys(known.get(path) or known.get(name, [])))
    if len(ids) > 1:
        shown = ", ".join(f"id:{one[:12]}" for one in ids[:5])
        raise UsageError(f"{len(ids)} videos of the library are named {name}: choose {shown}")
    return ids


def _apply(
    library: Library, rows: Sequence[tuple[str, Mapping[str, Scalar]]], report: MetadataReport
) -> MetadataReport:
    report.videos = len({video_id for video_id, _ in rows})
    own = [
        (video_id, {key: value for key, value in fields.items() if key != "label"})
        for video_id, fields in rows
    ]
    with library.transaction():
        report.values = library.set_fields(own)
        for video_id, fields in rows:
            if "label" in fields:
                value = fields["label"]
                label = None if value in (None, "") else str(value)
                report.values += library.set_label(video_id, label)
    return report


def _rows(
    path: Path, reading: Reading, left_out: list[str]
) -> Iterator[tuple[str, dict[str, Scalar]]]:
    text = read_text(path)
    table = text.lstrip()[:1] != "{"
    parsed = _csv_rows(path, text, reading, left_out) if table else _json_rows(path, text)
    for number, row in parsed:
        key = next((key for key in NAMES if isinstance(row.get(key), str) and row[key]), None)
        if key is None:
            raise UsageError(f"{path}, line {number} names no video: it needs {' or '.join(NAMES)}")
        name = str(row[key])
        yield name, {other: value for other, value in row.items() if other not in NAMES}


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parsed_json(line)
        except ValueError as exc:
            raise UsageError(f"{path}, line {number} is no JSON object: {exc}") from exc
        if not isinstance(row, dict) or any(isinstance(v, (dict, list)) for v in row.values()):
            raise UsageError(f"{path}, line {number} is no flat JSON object")
        yield number, row


def _csv_rows(
    path: Path, text: str, reading: Reading, left_out: list[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    texts = (*NAMES, "label")
    for row in csv_rows(path, text, texts)[1]:
        if row.problem:
            left_out.append(f"line {row.line}: {row.problem}")
            continue
        filled = {key: value for key, value in row.cells.items() if value or key == "label"}
        read = {key: reading(value) for key, value in filled.items() if key not in texts}
        yield row.line, {**filled, **read}
