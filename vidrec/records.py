"""Records: ``dataclass`` as ``dataclasses`` has it, for what every query imports.

That one compiles up to six methods of each class, half a millisecond, and a query meets fifty
classes: a tenth of its time. Here all classes share their methods but ``__init__``, which is
compiled when the first instance is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type], type]:
        """Make a class what ``dataclasses.dataclass`` with these arguments makes of it."""

        def make(cls: type) -> type:
            own = cls.__dict__.keys()
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
            for name, method in (_FROZEN if frozen else _OPEN).items():
                if name not in own:
                    setattr(made, name, method)
            made.__init__ = _first_init(made, frozen)
            return made

        return make


def _first_init(made: type, frozen: bool) -> Callable[..., None]:
    """Return an ``__init__`` that compiles a class's own and gives its place to it."""

    def init(self: Any, *values: Any, **named: Any) -> None:
        own = _compiled_init(made, frozen)
        made.__init__ = own  # type: ignore[misc]
        own(self, *values, **named)

    return init


def _compiled_init(made: type, frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": MISSING}
    takes, does = ["self"], []
    for one in fields(made):
        name, value = one.name, one.name
        default = "_MISSING"
        known[f"_{name}_default"], known[f"_{name}_factory"] = one.default, one.default_factory
        if one.default_factory is not MISSING:
            value = f"_{name}_factory()" + f" if {name} is _MISSING else {name}" * one.init
        elif one.default is not MISSING:
            default = f"_{name}_default"
        given = one.default is not MISSING or one.default_factory is not MISSING
        if one.init:
            takes.append(f"{name}={default}" if given else name)
        if one.init or given:
            does.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        does.append("self.__post_init__()")
    exec(f"def __init__({', '.join(takes)}):\n " + "\n ".join(does or ["pass"]), known)
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, one.name) for one in fields(self))


def _restore(self: Any, values: tuple[Any, ...]) -> None:
    for one, value in zip(fields(self), values, strict=True):
        object.__setattr__(self, one.name, value)


def _repr(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _equal(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, value: Any = None) -> NoReturn:
    raise FrozenInstanceError(f"cannot change {name!r} of a {type(self).__name__}")


_OPEN = {"__repr__": _repr, "__eq__": _equal, "__hash__": None}
_FROZEN = {
    "__repr__": _repr, "__eq__": _equal, "__hash__": _hash, "__setattr__": _refuse,
    "__delattr__": _refuse, "__getstate__": _values, "__setstate__": _restore,
}  # fmt: skip
