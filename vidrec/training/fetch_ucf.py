"""Fetch a UCF101 subset: a remote zip in, a folder of labelled clips out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vidrec.datasets.split import SPLITS, Wish
from vidrec.errors import UsageError
from vidrec.progress import Progress, Silent, finishing


@dataclass(slots=True)
class FetchReport:
    """What was fetched. `counts` are clips in train, val and test; `short` as in `Choice`."""

    dest: Path
    new: int
    there: int
    n_bytes: int
    counts: tuple[int, ...]
    short: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassCount:
    """A class in the archive."""

    label: str
    clips: int
    groups: int


def list_classes(url: str) -> list[ClassCount]:
    """The classes in the archive at `url`.

    Raises:
        DatasetError: it cannot be read.
    """
    from vidrec.datasets.ucf101 import read_directory

    members = read_directory(url)
    clips = Counter(member.label for member in members)
    groups = Counter(label for label, _ in {(m.label, m.group) for m in members})
    return [ClassCount(label, clips[label], groups[label]) for label in sorted(clips)]


def fetch_ucf(
    url: str,
    dest: Path,
    wish: Wish | None = None,
    *,
    workers: int = 8,
    progress: Progress | None = None,
) -> FetchReport:
    """Fetch the chosen clips into `dest`; what is there already is kept.

    Raises:
        DatasetError: the wish cannot be met, or not all could be fetched; what was fetched stays.
    """
    from vidrec.datasets.ucf101 import choose, download, read_directory

    progress = progress or Silent()
    choice = choose(read_directory(url, say=progress.warn), wish or Wish())
    with finishing(progress):
        new = download(url, choice, dest, workers=workers, progress=progress)
    sides = Counter(side for side, _ in choice.members)
    n_bytes = sum(path.stat().st_size for path in new)
    counts = tuple(sides[side] for side in SPLITS)
    there = len(choice.members) - len(new)
    return FetchReport(dest, len(new), there, n_bytes, counts, choice.short)


def parse_split(text: str) -> tuple[int, int, int]:
    """`30/10/10` as three counts.

    Raises:
        UsageError: it is not of that form.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or not int(parts[0]):
        raise UsageError(f"--split is three counts like 30/10/10. Received: {text}")
    train, val, test = map(int, parts)
    return train, val, test


def parse_per_class(text: str) -> int | None:
    """A number of clips, or None for `all`.

    Raises:
        UsageError: neither.
    """
    if text == "all":
        return None
    if not text.isdigit() or not int(text):
        raise UsageError(f"--per-class is a number or all. Received: {text}")
    return int(text)
