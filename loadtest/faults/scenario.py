"""What every scenario is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loadtest.faults.trial import Report


@dataclass(frozen=True, slots=True)
class Options:
    """How much of it: `times` a fault happens, and `seconds` it lasts where it has a length."""

    folder: Path
    """Where the brokers keep their data."""
    seed: int = 1
    kills: int = 30
    times: int = 3
    stopped: float = 14.0
    """Longer than a transaction may take."""
    gone: float = 60.0
    cut: float = 20.0
    slow: float = 20.0
    minutes: float = 20.0
    """Length of the soak, without its end."""
    workers: int = 1
    """Processes that share the work; of several, each is in `mode: distributed`."""


Scenario = Callable[[Options], Report]


class Brokers(Protocol):
    """A node, or a cluster of them."""

    def start(self) -> None: ...
    def stop(self, *, kill: bool = False) -> None: ...


@contextmanager
def up(brokers: Brokers) -> Iterator[None]:
    """Have brokers for as long as the block lasts."""
    try:
        brokers.start()
        yield
    finally:
        brokers.stop(kill=True)
