"""One detector on one stream, many times: how often it alarms for nothing, how late with cause.

Every run is a path of its own, with a reference of its own, drawn from the seed, the name of
the stream and the number of the run: all detectors are shown the same paths.
"""

import zlib
from collections.abc import Callable

import numpy as np

from loadtest.quality import oracles
from loadtest.quality.changes import Change, draw_path
from loadtest.quality.measures import Delays, Rate, delays_of
from loadtest.quality.peers import Detector, Series
from loadtest.quality.streams import Stream
from streamdrift.records import Floats

REFERENCE = 10_000
LENGTH = 100_000
"""Values of one run in which nothing changes."""

QUIET = 1_000
"""Values before a change, at least; up to twice as many."""

_TOLD, _MOST_TOLD = 100, 20_000_000
"""Run lengths of quiet values on which a told oracle's threshold is found; values at most."""


def generator(seed: int, name: str, run: int) -> np.random.Generator:
    """Return the randomness of one run."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), run])


def false_alarms(
    detector: Detector,
    stream: Stream,
    runs: int,
    *,
    seed: int,
    length: int = LENGTH,
    reference: int = REFERENCE,
) -> Rate:
    """Count the alarms of so many runs in which nothing changes."""
    alarms = 0
    for run in range(runs):
        path = stream.draw(generator(seed, stream.name, run), reference + length)
        series = Series(path[:reference], path[reference:], stream.kind, run, stream.step)
        alarms += len(detector.alarms(series))
    return Rate(alarms, runs * length)


def delays(
    detector: Detector,
    change: Change,
    runs: int,
    *,
    seed: int,
    reference: int = REFERENCE,
    quiet: int = QUIET,
    seen: Callable[[Floats], Floats] | None = None,
) -> Delays:
    """Measure how late a detector is; `seen` is what it is shown of a whole path, if not all.

    The first alarm at or after the change counts.
    """
    firsts, earlies, quiets = [], [], []
    for run in range(runs):
        path = draw_path(
            change, generator(seed, change.name, run), reference, quiet, change.horizon
        )
        whole = path.whole if seen is None else seen(path.whole)
        stream = change.before
        step = None if seen is not None else stream.step
        series = Series(whole[: path.begin], whole[path.begin :], stream.kind, run, step)
        found = detector.alarms(series, path.place)
        after = found[found >= path.place]
        firsts.append(int(after[0]) - path.place if after.size else change.horizon)
        earlies.append(int(np.sum(found < path.place)))
        quiets.append(path.place)
    return delays_of(firsts, earlies, quiets, change.horizon)


def told_delays(change: Change, run_length: float, runs: int, *, seed: int) -> Delays:
    """Measure how late CUSUM is that is told the change, at this run length in all."""
    random = generator(seed, f"{change.name}, told", 0)
    quiet = change.before.draw(random, min(int(_TOLD * run_length), _MOST_TOLD))
    each = run_length * len(change.told)
    thresholds = [oracles.calibrate(ratio(quiet), each) for ratio in change.told]
    firsts = []
    for run in range(runs):
        path = draw_path(change, generator(seed, change.name, run), 0, QUIET, change.horizon)
        after = path.values[path.place :]
        firsts.append(
            min(
                oracles.first_alarm(ratio(after), threshold)
                for ratio, threshold in zip(change.told, thresholds, strict=True)
            )
        )
    return delays_of(firsts, [0] * runs, [0] * runs, change.horizon)
