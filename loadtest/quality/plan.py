"""What a run of the sections is given, and what a section is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from loadtest.quality.calibration import Calibration
from loadtest.quality.tables import Result


class Plan(NamedTuple):
    """Seed, effort and data of a run; `say` is told what goes on.

    `effort` multiplies the number of runs: 1 is what is published. `data` is the folder of
    recorded streams that belongs to the project, `more` one with further ones, if there is.
    """

    seed: int
    effort: float
    data: Path
    more: Path | None
    calibration: Calibration
    say: Callable[[str], None]

    def runs(self, published: int, least: int = 3) -> int:
        """Return how many runs there are where `published` were made for what is published."""
        return max(round(published * self.effort), least)


class Section(NamedTuple):
    """A part of the evaluation: `reach` is what is to be reached, in words.

    `why` says what keeps lines of it from that, where it is known.
    """

    name: str
    title: str
    reach: str
    run: Callable[[Plan], Result]
    why: str = ""
