"""Work in slices: whoever has it done may do something else in between."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that is done a slice at each `next`, none of which takes long; what it returns is made of
all of them."""


def at_once(slices: Slices[T]) -> T:
    """Do all of the work; return what it makes."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            made: T = end.value
            return made
