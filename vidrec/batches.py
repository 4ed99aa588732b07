"""Batches: long streams in parts of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in their order, ``size`` at a time; reads no further than it yields."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
