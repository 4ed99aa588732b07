"""Folders of labelled clips: `<split>/<Class>/*` as `fetch-ucf` writes, or `<Class>/*`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vidrec.datasets.split import MANIFEST, SPLITS, apportion, split_groups
from vidrec.errors import DatasetError
from vidrec.files import parsed_json
from vidrec.library.videos import SPLIT_NAMES
from vidrec.media.extensions import is_video_name

RATIO = {"train": 60, "val": 20, "test": 20}
_GROUP = re.compile(r"(?i)^(.+_g\d+)_c\d+$")


@dataclass(frozen=True, slots=True, order=True)
class LabelledClip:
    """A clip with its class. Clips of one group come from one source and stay on one side."""

    path: Path
    label: str
    group: str
    split: str = ""


def read_dataset(root: Path, seed: int) -> list[LabelledClip]:
    """The clips below a folder, each with its split, sorted by path.

    Splits that the folder does not have are taken from the training clips, group by group.

    Raises:
        DatasetError: no such folder, an unfinished `fetch-ucf`, or fewer than two classes.
    """
    if not root.is_dir():
        raise DatasetError(f"no such folder: {root}")
    _check_complete(root)
    clips = sorted(_walk(root))
    labels = {clip.label for clip in clips if clip.split in ("train", "")}
    if len(labels) < 2:
        found = f"one class ({', '.join(labels)})" if labels else "no labelled clip"
        raise DatasetError(
            f"{root} holds {found} to train on: lay it out as <Class>/* or <split>/<Class>/*, with "
            "two classes at least (`vidrec fetch-ucf` fetches such a folder)"
        )
    return sorted(_complete_splits([clip for clip in clips if clip.label in labels], seed))


def _check_complete(root: Path) -> None:
    """A download that was cut short must not pass for a smaller data set."""
    try:
        listed = parsed_json((root / MANIFEST).read_text("utf-8"))["clips"]
        missing = [clip["file"] for clip in listed if not (root / clip["file"]).is_file()]
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise DatasetError(f"{root / MANIFEST} cannot be read: fetch the clips again") from exc
    if missing:
        raise DatasetError(
            f"{root} lacks {len(missing)} of the {len(listed)} clips in its {MANIFEST} "
            f"(the first: {missing[0]}): run `vidrec fetch-ucf` again to complete it"
        )


def _walk(root: Path) -> Iterator[LabelledClip]:
    for folder in _folders(root):
        split = SPLIT_NAMES.get(folder.name.lower(), "")
        for label in _folders(folder) if split else [folder]:
            for path in label.iterdir():
                if is_video_name(path) and not path.name.startswith("."):
                    found = _GROUP.match(path.stem)
                    group = found[1] if found else f"{label.name}/{path.stem}"
                    yield LabelledClip(path, label.name, group, split)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as exc:
        raise DatasetError(f"cannot read {root}: {exc.strerror}") from exc


def _complete_splits(clips: list[LabelledClip], seed: int) -> Iterator[LabelledClip]:
    missing = set(SPLITS) - {clip.split for clip in clips}
    ratio = [n if side == "train" or side in missing else 0 for side, n in RATIO.items()]
    by_label: dict[str, dict[str, list[LabelledClip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        if missing and clip.split in ("", "train"):
            by_label[clip.label][clip.group].append(clip)
        else:
            yield clip
    for groups in by_label.values():
        total = sum(map(len, groups.values()))
        names = {group: [str(clip.path) for clip in found] for group, found in groups.items()}
        chosen = split_groups(names, apportion(total, ratio), seed)
        for group, found in groups.items():  # a group is on one side, so any of its clips tells
            sides = [side for side, names_of in zip(SPLITS, chosen, strict=True)
                     if not set(names_of).isdisjoint(names[group])]  # fmt: skip
            yield from (replace(clip, split=(*sides, "train")[0]) for clip in found)
