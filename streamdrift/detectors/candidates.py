"""Which signals are candidates, and which of them are worth a word.

What a change is like takes a while to say, and most candidates come to nothing: where all that
are weighed together are known, only those that would be told are said to be candidates.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import groupby
from typing import NamedTuple

import numpy as np

from streamdrift.changes import StepKind
from streamdrift.detectors.judge import Sign
from streamdrift.records import Bools, State
from streamdrift.trees import array

Together = Callable[[Mapping[int, float]], AbstractSet[int]]
"""From the shares of signals, by their ordinals, which of them are told."""


class Seen(NamedTuple):
    """A candidate at a look, or with share 0 one that is none any more."""

    row: int
    signal: int
    share: float
    say: Callable[[], Sign]


def none_any_more(row: int, signal: int) -> Seen:
    """Return that a signal is no candidate any more, from a look on."""
    return Seen(row, signal, 0.0, partial(Sign, row, signal, StepKind.WITHDRAWN))


class Candidates:
    """The candidates among `count` signals.

    `together` says which would be told; without it all are said, as others that are not
    known here may be weighed with them.
    """

    def __init__(self, count: int, together: Together | None) -> None:
        self._together = together
        self.there: Bools = np.zeros(count, dtype=np.bool_)
        """Signals that are candidates."""
        self._said: Bools = np.zeros(count, dtype=np.bool_)
        """Those of which that was said, and nothing else since."""
        self._seen: list[Seen] = []

    @property
    def said(self) -> list[int]:
        """Signals that were said to be candidates, and nothing else since."""
        return [int(signal) for signal in np.flatnonzero(self._said)]

    def see(self, seen: Seen) -> None:
        """Take what a look found; `weigh` says what comes of it."""
        self.there[seen.signal] = seen.share > 0
        self._seen.append(seen)

    def weigh(self, signs: Sequence[Sign], held: AbstractSet[int]) -> list[Sign]:
        """Return what is said of what was seen in a block.

        `signs` are of changes and returns in it, `held` the signals that were held before it.
        """
        found: list[Sign] = []
        changed = sorted(signs, key=lambda sign: sign.column)
        now, at = set(held), 0
        self._seen.sort(key=lambda seen: (seen.row, seen.signal))
        for row, group in groupby(self._seen, key=lambda seen: seen.row):
            while at < len(changed) and changed[at].column < row:
                self._take(changed[at], now)
                at += 1
            found += self._said_of(list(group), now)
        for sign in changed[at:]:
            self._take(sign, now)
        self._seen = []
        return found

    def _take(self, sign: Sign, held: set[int]) -> None:
        self._said[sign.signal] = False
        if sign.kind is StepKind.CHANGED:
            held.add(sign.signal)
        else:
            held.discard(sign.signal)

    def _said_of(self, looked: Sequence[Seen], held: AbstractSet[int]) -> Iterator[Sign]:
        """Yield what is said of all that one look found.

        Those that were said before are said again where others are weighed with them.
        """
        shares = {each.signal: each.share for each in looked if each.share > 0}
        told: AbstractSet[int] = shares.keys()
        if self._together is not None:
            told = self._together(shares | dict.fromkeys(held, 1.0)) - held
        anew = self._together is None or any(not self._said[signal] for signal in told)
        for each in looked:
            signal, said = each.signal, bool(self._said[each.signal])
            if each.share == 0:
                self._said[signal] = False
                if said:
                    yield each.say()
            elif anew and (signal in told or said):
                self._said[signal] = True
                yield each.say()

    def snapshot(self) -> State:
        """Return who is a candidate, and of whom it was said."""
        return {"there": self.there.copy(), "said": self._said.copy()}

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self.there = array(state, "there").astype(np.bool_)
        self._said = array(state, "said").astype(np.bool_)
