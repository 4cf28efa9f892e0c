"""From the events of a reference to what the signals of all columns are held against."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.learning import Reference
from streamdrift.models.rhythms import learn_first
from streamdrift.models.watch_settings import WatchSettings
from streamdrift.records import Batch, Floats, Signal
from streamdrift.references.occasions import Occasions
from streamdrift.seeds import seed_of
from streamdrift.signals.column import ColumnSignals


class References(NamedTuple):
    """What the signals of columns are held against, in their order."""

    references: list[Reference]
    present: Floats
    """The part of the events that had a value of each, float64[s]."""
    rhythms: dict[int, Occasions]
    """Of those whose reference is provisional, by their place."""


def learn_references(
    model: str,
    version: str,
    columns: Sequence[ColumnSignals],
    signals: Sequence[Signal],
    rows: Batch,
    rate: float,
    settings: WatchSettings,
) -> References:
    """Learn what signals are held against from the reference's events.

    `rate` is how many events come in a microsecond.
    """
    found = References([], np.empty(len(signals)), {})
    for column in columns:
        samples, present = column.samples(rows.columns[column.key])
        for sample, share in zip(samples, present, strict=True):
            place = len(found.references)
            seed = signal_seed(model, version, signals[place])
            learnt = learn_first(
                sample, rows.time, settings.zone, seed, settings.span, rate * share
            )
            found.references.append(learnt.reference)
            found.present[place] = share
            if learnt.rhythm is not None:
                found.rhythms[place] = learnt.rhythm
    return found


def signal_seed(model: str, version: str, signal: Signal) -> int:
    """Return the seed of a signal's coins."""
    assert signal.column is not None
    group, name = signal.column
    return seed_of(model, version, group.value, name, signal.kind.value)
