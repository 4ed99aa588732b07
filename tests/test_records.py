"""Records are what ``dataclasses`` would make of the same classes."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any, ClassVar

import pytest

from vidrec import records
from vidrec.conditions import Condition, Filter
from vidrec.types import Payload

Maker = Callable[..., Any]


def classes(dataclass: Maker) -> tuple[Any, Any]:
    @dataclass(frozen=True, slots=True)
    class Point:
        """A frozen one."""

        kind: ClassVar[str] = "point"
        x: int
        y: float = 0.5
        names: tuple[str, ...] = ()
        more: dict[str, int] = field(default_factory=dict)

        @property
        def total(self) -> float:
            return self.x + self.y

    @dataclass(slots=True)
    class Count:
        """One that changes."""

        of: str
        n: int = 0
        seen: list[int] = field(default_factory=list)
        twice: int = field(init=False)

        def __post_init__(self) -> None:
            self.twice = 2 * self.n

    return Point, Count


Real, RealCount = classes(dataclasses.dataclass)
Point, Count = classes(records.dataclass)


def test_they_are_made_alike() -> None:
    for arguments in ((1,), (1, 2.0), (1, 2.0, ("a",), {"b": 1})):
        assert repr(Point(*arguments)) == repr(Real(*arguments))
    assert repr(Point(names=("a",), x=3)) == repr(Real(names=("a",), x=3))
    assert repr(Count("dogs", n=2)) == repr(RealCount("dogs", n=2))
    assert Point(1).more is not Point(1).more
    assert (Point.kind, Point(1).total, Point.__match_args__) == ("point", 1.5, Real.__match_args__)
    assert not hasattr(Point(1), "__dict__")


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, (), {}, 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_they_refuse_alike(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as real:
        Real(*values, **named)
    for _ in range(2):  # before and after one is made
        with pytest.raises(TypeError) as ours:
            Point(*values, **named)
        assert str(ours.value) == str(real.value)
        Point(1)


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert Point(1) == Point(1, 0.5)
    assert Point(1) != Point(2)
    assert Point(1) != Real(1)
    assert Filter("clip") == Filter("clip")
    assert len({Condition("a", "=", (1,)), Condition("a", "=", (1,))}) == 1
    assert Count("a") == Count("a")
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count("a"))


def test_frozen_ones_stay_what_they_are() -> None:
    one = Point(1)
    with pytest.raises(FrozenInstanceError, match="'x' of a Point"):
        one.x = 2
    with pytest.raises(FrozenInstanceError):
        del one.x
    changing = Count("a")
    changing.n = 5
    assert changing.n == 5


def test_dataclasses_knows_them() -> None:
    one = Point(1, more={"a": 1})
    assert [f.name for f in fields(Point)] == [f.name for f in fields(Real)]
    assert replace(one, y=2.0) == Point(1, 2.0, more={"a": 1})
    assert asdict(one) == asdict(Real(1, more={"a": 1}))
    assert asdict(Payload("v", "v.mp4", "clip", 0.0, 1.0))["video_id"] == "v"


def test_they_go_to_other_processes_and_are_copied() -> None:
    one = Payload("v", "v.mp4", "clip", 0.0, 1.0)
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == copy.copy(one) == one
