"""Splits of labelled clips that keep a group's clips on one side.

Clips of one group are cut from the same source video. With some of them in training and others in
the test, a network is tested on what it has seen; so a split goes by group, and still gives exactly
the counts asked for wherever the sizes of the groups allow it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

MANIFEST = "manifest.json"  # of a folder that was fetched: what was chosen, and how it was split
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Wish:
    """Which clips are wished for, and how each class is split into train, val and test.

    Attributes:
        classes: how many, in alphabetical order, or which.
        per_class: clips of each class; None takes all there are.
        split: the ratio in which `per_class` is shared out, by largest remainder.
        split_by: "group" keeps a group on one side; "file" takes clips in the order of their
            names, as the published notebooks do, and so lets near-duplicates stand on both sides.
    """

    classes: int | Sequence[str] = 10
    per_class: int | None = 50
    split: tuple[int, int, int] = (30, 10, 10)
    split_by: str = "group"
    seed: int = 0


def apportion(total: int, ratio: Sequence[int]) -> tuple[int, ...]:
    """Shares `total` in the given ratio, by largest remainder: `(50, (3, 1, 1)) → (30, 10, 10)`."""
    exact = [total * part / sum(ratio) for part in ratio]
    counts = [int(share) for share in exact]
    order = sorted(range(len(ratio)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return tuple(counts)


def split_groups(
    groups: Mapping[str, Sequence[str]], targets: Sequence[int], seed: int
) -> list[list[str]]:
    """Picks clips for each split, `targets` many, no group on two sides.

    `groups` maps a group to its clips. All groups are used as far as they go (many groups with few
    clips of each teach more than few groups with many), and surplus clips are left out. When no
    choice of whole groups can fill every target, the lists returned are the fullest there are.
    """
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    sizes = tuple(len(groups[name]) for name in names)
    sides = _assign(sizes, _reachable(sizes, tuple(targets)))
    chosen = []
    for side, target in enumerate(targets):
        members = [name for name, at in zip(names, sides, strict=True) if at == side]
        chosen.append(_take_in_turn([sorted(groups[name]) for name in members], target))
    return chosen


def _reachable(sizes: tuple[int, ...], targets: tuple[int, ...]) -> tuple[int, ...]:
    """The targets, or the nearest smaller ones that whole groups can fill (least lost in all)."""
    for lost in range(sum(targets) + 1):
        for cut in product(range(lost + 1), repeat=len(targets)):
            smaller = tuple(t - c for t, c in zip(targets, cut, strict=True))
            if sum(cut) == lost and min(smaller) >= 0 and _can_fill(sizes, smaller):
                return smaller
    raise AssertionError("nothing asked for can always be given")


@lru_cache(maxsize=1 << 20)
def _can_fill(sizes: tuple[int, ...], needs: tuple[int, ...]) -> bool:
    """Whether groups of these sizes, each given to one side whole, cover all the needs."""
    if not any(needs):
        return True
    if sum(sizes) < sum(needs):
        return False
    return any(
        _can_fill(sizes[1:], _after(needs, side, sizes[0])) for side in _by_need(needs)
    ) or _can_fill(sizes[1:], needs)


def _after(needs: tuple[int, ...], side: int, size: int) -> tuple[int, ...]:
    return tuple(max(0, n - size) if i == side else n for i, n in enumerate(needs))


def _by_need(needs: tuple[int, ...]) -> list[int]:
    return sorted((i for i, need in enumerate(needs) if need), key=lambda i: -needs[i])


def _assign(sizes: tuple[int, ...], targets: tuple[int, ...]) -> list[int]:
    """A side for every group: the one furthest below its share that keeps the targets fillable."""
    total, wanted = sum(sizes), max(1, sum(targets))
    share = [total * target / wanted for target in targets]
    needs, sides = targets, []
    for at, size in enumerate(sizes):
        for side in sorted(range(len(targets)), key=lambda i: -share[i]):
            left = _after(needs, side, size)
            if _can_fill(sizes[at + 1 :], left):
                break
        needs = left
        share[side] -= size
        sides.append(side)
    return sides


def _take_in_turn(lists: Sequence[Sequence[str]], count: int) -> list[str]:
    """The first of each list, then the second of each, … until there are `count`, sorted."""
    rounds = range(max((len(clips) for clips in lists), default=0))
    in_turn = [clips[i] for i in rounds for clips in lists if i < len(clips)]
    return sorted(in_turn[:count])
