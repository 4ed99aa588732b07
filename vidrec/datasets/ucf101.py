"""A subset of UCF101, fetched clip by clip out of a remote zip.

The archive of UCF101 (Soomro, Zamir and Shah 2012, arXiv:1212.0402) is one large zip with 13,320
members `UCF101/v_<Class>_g<group>_c<clip>.avi`. Only its directory and the members chosen travel,
by HTTP range requests; a server that ignores ranges is refused.

    read_directory → choose → download

Nothing is written before the choice is known to be possible. Then the manifest comes first, and
each clip whole or not at all, so that a run killed anywhere is completed by running it again.
"""

from __future__ import annotations

import binascii
import errno
import json
import re
import shutil
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vidrec.datasets.http_range import RemoteFile
from vidrec.datasets.split import MANIFEST, SPLITS, Wish, apportion, split_groups
from vidrec.errors import DatasetError
from vidrec.files import parsed_json, writing
from vidrec.progress import Progress, Silent
from vidrec.urls import stable_url
from vidrec.wording import count, did_you_mean

UCF101_URL = "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip"
_NAME = re.compile(r"(?:^|/)v_(?P<label>[^/]+)_g(?P<group>\d+)_c(?P<clip>\d+)\.\w+$")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # PKZIP APPNOTE 4.3.7
_FREE_BYTES_KEPT = 64 << 20


@dataclass(frozen=True)
class Member:
    """A clip in the archive. `start` and `end` bound its bytes there, local header included."""

    name: str
    label: str
    group: str
    size: int  # bytes, unpacked
    crc32: int
    method: int  # zipfile.ZIP_STORED or ZIP_DEFLATED
    start: int
    end: int


@dataclass(frozen=True)
class Choice:
    """The clips of a subset with their splits, and what was wished for."""

    members: tuple[tuple[str, Member], ...]  # (split, member)
    wish: Wish
    short: dict[str, tuple[int, ...]]
    """For every class whose groups do not allow the counts asked for: the counts it got."""

    @property
    def n_bytes(self) -> int:
        """Bytes that travel, without the directory."""
        return sum(member.end - member.start for _, member in self.members)


def read_directory(
    url: str, *, retry_seconds: float = 1.0, say: Callable[[str], None] = lambda line: None
) -> list[Member]:
    """The UCF101 clips in the zip at `url`, sorted by name.

    Raises:
        DatasetError: unreachable, refused, no ranges served, no zip, or no UCF101 names in it.
    """
    with closing(RemoteFile(url, retry_seconds=retry_seconds, say=say)) as remote:
        try:
            infos, directory_at = remote.zip_directory()
        except (zipfile.BadZipFile, struct.error) as exc:
            raise DatasetError(f"{remote.name} is no zip archive ({exc}): check --url") from exc
    ends = sorted([info.header_offset for info in infos] + [directory_at])
    following = dict(pairwise(ends))
    members = []
    for info in infos:
        if match := _NAME.search(info.filename):
            members.append(
                Member(
                    name=info.filename,
                    label=match["label"],
                    group=match["group"],
                    size=info.file_size,
                    crc32=info.CRC,
                    method=info.compress_type,
                    start=info.header_offset,
                    end=following[info.header_offset],
                )
            )
    if not members:
        raise DatasetError(
            f"{remote.name} holds no clip named like UCF101's v_<Class>_g01_c01.avi "
            f"({len(infos)} other members): check --url"
        )
    return sorted(members, key=lambda member: member.name)


def choose(members: Sequence[Member], wish: Wish) -> Choice:
    """Choose clips of some classes and split each class.

    Raises:
        DatasetError: a class that is not there, or too few clips, groups or classes for the wish.
    """
    split, split_by = wish.split, wish.split_by
    if min(split) < 0 or split[0] < 1 or split_by not in ("group", "file"):
        raise DatasetError(
            "a split is three counts, the first above 0, made by group or file. "
            f"Received: split={'/'.join(map(str, split))}, split_by={split_by}"
        )
    by_label: dict[str, dict[str, list[Member]]] = {}
    for member in members:
        by_label.setdefault(member.label, {}).setdefault(member.group, []).append(member)
    chosen, short = [], {}
    for label in _wanted(by_label, wish.classes):
        groups = by_label[label]
        targets = _targets(label, groups, wish)
        named = {m.name: m for clips in groups.values() for m in clips}
        if split_by == "group":
            names = {group: [m.name for m in clips] for group, clips in groups.items()}
            sides = split_groups(names, targets, wish.seed)
        else:
            ordered = sorted(named)
            bounds = [sum(targets[:i]) for i in range(4)]
            sides = [ordered[a:b] for a, b in pairwise(bounds)]
        counts = tuple(map(len, sides))
        if counts != targets:
            short[label] = counts
        for side, clips in zip(SPLITS, sides, strict=True):
            chosen += [(side, named[name]) for name in clips]
    return Choice(tuple(chosen), wish, short)


def _wanted(by_label: dict[str, Any], classes: int | Sequence[str]) -> list[str]:
    if isinstance(classes, int):
        if not 1 <= classes <= len(by_label):
            raise DatasetError(
                f"the archive has {count(len(by_label), 'class')}: ask for 1 to {len(by_label)}. "
                f"Received: --classes {classes}"
            )
        return sorted(by_label)[:classes]
    if missing := sorted(set(classes) - set(by_label)):
        raise DatasetError(
            f"no such class in the archive: {', '.join(missing)}"
            f"{did_you_mean(missing[0], by_label)} (`--list` shows them all)"
        )
    return sorted(set(classes))


def _targets(label: str, groups: dict[str, list[Member]], wish: Wish) -> tuple[int, ...]:
    """How many clips of a class go to each split."""
    total = sum(map(len, groups.values()))
    wanted = total if wish.per_class is None else wish.per_class
    if not 1 <= wanted <= total:
        raise DatasetError(
            f"class {label} has {count(total, 'clip')}: ask for at most that many of each "
            f"class, or for `--per-class all`. Received: --per-class {wanted}"
        )
    targets = apportion(wanted, wish.split)
    n_sides = sum(target > 0 for target in targets)
    if wish.split_by == "group" and len(groups) < n_sides:
        raise DatasetError(
            f"class {label} has only {count(len(groups), 'group')}, too few for {n_sides} splits: "
            "`--split-by file` splits without regard to groups"
        )
    return targets


def download(
    url: str,
    choice: Choice,
    dest: Path,
    *,
    workers: int = 8,
    retry_seconds: float = 1.0,
    progress: Progress | None = None,
) -> list[Path]:
    """Fetches the chosen clips into `dest/<split>/<Class>/` and returns the paths of the new ones.

    Clips that are there already, whole, are not fetched again. `dest/manifest.json` says where
    everything came from.

    Raises:
        DatasetError: `dest` holds another choice, is full, or some clips could not be fetched; what
            was fetched stays, and the same call goes on from there.
    """
    missing = _prepare(url, choice, dest)
    progress = progress or Silent()
    tally = _Tally(progress, missing)
    stop = threading.Event()
    done: list[Path] = []
    failed: list[str] = []
    with closing(
        RemoteFile(url, retry_seconds=retry_seconds, stop=stop, say=progress.warn)
    ) as remote:
        pool = ThreadPoolExecutor(max_workers=max(1, workers))
        try:
            futures = {pool.submit(_fetch, remote, m, path, tally): m for path, m in missing}
            for future in as_completed(futures):
                try:
                    done.append(future.result())
                except OSError as exc:
                    if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise DatasetError(f"cannot write into {dest}: {exc.strerror}") from exc
                    raise DatasetError(
                        f"{dest} is full after {len(done)} of {len(missing)} clips: make room and "
                        "run it again"
                    ) from exc
                except DatasetError as exc:
                    failed.append(str(exc))
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    if failed:
        raise DatasetError(
            f"{len(failed)} of {len(missing)} clips could not be fetched (the first: {failed[0]}); "
            f"{len(done)} are in {dest}: run it again for the rest"
        )
    return sorted(done)


def _prepare(url: str, choice: Choice, dest: Path) -> list[tuple[Path, Member]]:
    """Writes the manifest and returns what is missing, or refuses."""
    manifest, content = dest / MANIFEST, _manifest(url, choice)
    if manifest.exists() and _clips_of(manifest) != content["clips"]:
        raise DatasetError(
            f"{dest} holds another choice of clips ({manifest}): use another --dest or delete it"
        )
    paths = [(dest / side / m.label / Path(m.name).name, m) for side, m in choice.members]
    missing = [(path, member) for path, member in paths if not _is_whole(path, member)]
    try:
        dest.mkdir(parents=True, exist_ok=True)
        needed = sum(member.size for _, member in missing)
        free = shutil.disk_usage(dest).free
        if needed and needed + _FREE_BYTES_KEPT > free:
            raise DatasetError(
                f"{dest} has {free >> 20} MB free, the clips need {needed >> 20} MB: "
                "make room or choose another --dest"
            )
        with writing(manifest) as draft:
            draft.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        for path, _ in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DatasetError(f"cannot write into {dest}: {exc.strerror}") from exc
    return missing


def _manifest(url: str, choice: Choice) -> dict[str, Any]:
    clips = [
        {
            "file": f"{side}/{m.label}/{Path(m.name).name}",
            "split": side,
            "label": m.label,
            "group": m.group,
            "size": m.size,
            "crc32": f"{m.crc32:08x}",
        }
        for side, m in choice.members
    ]
    wish = choice.wish
    how = {"seed": wish.seed, "split": list(wish.split), "split_by": wish.split_by}
    return {"url": stable_url(url), **how, "clips": clips}


def _clips_of(manifest: Path) -> Any:
    try:
        return parsed_json(manifest.read_text("utf-8"))["clips"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _is_whole(path: Path, member: Member) -> bool:
    try:
        if path.stat().st_size != member.size:
            return False
        crc = 0
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                crc = binascii.crc32(block, crc)
    except OSError:
        return False
    return crc == member.crc32


class _Tally:
    """Counts what the threads have fetched, and tells it."""

    def __init__(self, progress: Progress, missing: Sequence[tuple[Path, Member]]) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self._clips, self._done = len(missing), 0
        if missing:
            progress.start("fetching", sum(m.end - m.start for _, m in missing), "B")

    def add(self, n_bytes: int, n_clips: int = 0) -> None:
        with self._lock:
            self._done += n_clips
            self._progress.step(n_bytes, f"{self._done}/{self._clips} clips")


def _fetch(remote: RemoteFile, member: Member, path: Path, tally: _Tally) -> Path:
    """Fetches one clip, twice if its checksum is wrong, and puts it in its place."""
    for attempt in range(2):
        try:
            clip = _unpacked(remote, member, tally)
        except (zlib.error, struct.error):
            clip = b""
        if (len(clip), binascii.crc32(clip)) == (member.size, member.crc32):
            with writing(path, durable=False) as draft:
                draft.write_bytes(clip)
            tally.add(0, 1)
            return path
        if attempt == 0:
            tally.add(member.start - member.end)
    raise DatasetError(f"{member.name} arrives damaged: its checksum is wrong twice")


def _unpacked(remote: RemoteFile, member: Member, tally: _Tally) -> bytes:
    """The clip's bytes: a local header of its own length stands before them, packed or not."""
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DatasetError(f"{member.name} is packed by a method ({member.method}) not known here")
    packed = bytearray()
    for block in remote.stream(member.start, member.end):
        tally.add(len(block))
        packed += block
    magic, *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(packed)
    if magic != b"PK\x03\x04":
        raise zlib.error("no local header")
    del packed[: _LOCAL_HEADER.size + name_length + extra_length]
    if member.method == zipfile.ZIP_STORED:  # a data descriptor may follow the bytes themselves
        return bytes(packed[: member.size])
    return zlib.decompressobj(-15).decompress(packed, member.size + 1)
