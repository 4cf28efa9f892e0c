"""Typed reading of snapshots: what a tree lacks or holds wrongly is a StateError."""

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from streamdrift.errors import StateError
from streamdrift.records import State, StateValue

Wanted = TypeVar("Wanted")


def _unreadable(why: str) -> StateError:
    return StateError(
        f"the stored state cannot be read by this version: {why}",
        "run the version that wrote it; `streamdrift state reset`, or a start with "
        "--reset-state, begins anew",
    )


class Tree(dict[str, StateValue]):
    """A tree that was stored: who looks up what it lacks gets a StateError."""

    def __missing__(self, name: str) -> StateValue:
        raise _unreadable(f"it has no {name!r}")


def _value(state: State, name: str) -> StateValue:
    if name not in state:
        raise _unreadable(f"it has no {name!r}")
    return state[name]


def _read(state: State, name: str, kind: type[Wanted]) -> Wanted:
    value = _value(state, name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _unreadable(f"it has no {kind.__name__} {name!r}")
    return value


def integer(state: State, name: str) -> int:
    """Return the whole number called `name`."""
    return _read(state, name, int)


def optional_integer(state: State, name: str) -> int | None:
    """Return the whole number called `name`, or the None that stands there."""
    return None if _value(state, name) is None else integer(state, name)


def flag(state: State, name: str) -> bool:
    """Return the truth value called `name`."""
    return _read(state, name, bool)


def text(state: State, name: str) -> str:
    """Return the string called `name`."""
    return _read(state, name, str)


def optional_text(state: State, name: str) -> str | None:
    """Return the string called `name`, or the None that stands there."""
    return None if name in state and state[name] is None else text(state, name)


def number(state: State, name: str) -> float:
    """Return the number called `name`, whole or not."""
    value = _value(state, name)
    return float(value) if isinstance(value, int) else _read(state, name, float)


def array(state: State, name: str) -> NDArray[np.generic]:
    """Return the array called `name`."""
    return cast(NDArray[np.generic], _read(state, name, np.ndarray))


def tree(state: State, name: str) -> State:
    """Return the subtree called `name`."""
    return cast(State, _read(state, name, dict))


def optional_tree(state: State, name: str) -> State | None:
    """Return the subtree called `name`, or the None that stands there."""
    return None if _value(state, name) is None else tree(state, name)


def values(state: State, name: str) -> list[StateValue]:
    """Return the list called `name`."""
    value = _value(state, name)
    if not isinstance(value, list | tuple):
        raise _unreadable(f"it has no list {name!r}")
    return list(value)


def trees(state: State, name: str) -> list[State]:
    """Return the list of subtrees called `name`."""
    found = values(state, name)
    if not all(isinstance(value, dict) for value in found):
        raise _unreadable(f"{name!r} holds something that is no tree")
    return cast(list[State], found)


def lists(state: State, name: str) -> list[Any]:
    """Return the list of lists called `name`; what stands in these is for the caller to know."""
    found = values(state, name)
    if not all(isinstance(value, list | tuple) for value in found):
        raise _unreadable(f"{name!r} holds something that is no list")
    return found
