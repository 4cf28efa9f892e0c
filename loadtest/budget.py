"""What the budget allows, and what comes of it: false openings, and delays of shared changes.

python -m loadtest.budget --runs 8 --changes 100

Signals of normal values, one a second each, of equal weight, each watched by the simplest
e-detector: a Shiryaev-Roberts sum over shifts of the mean by .25, .5, 1 and 2 sd, up and down.
What they say goes through the service's own incidents. A signal that changed by itself is held
for 100 values and begins anew.

False openings are counted where nothing changes, in runs of 25 times the time for which one is
allowed. `withdraw` is the part of its patience under which a candidate is none any more.
"""

import argparse
import math
from collections.abc import Iterator, Sequence

import numpy as np

from streamdrift.changes import Change, Step, StepKind, Summary
from streamdrift.detectors.looks import WITHDRAW
from streamdrift.incidents import Incidents, IncidentSettings
from streamdrift.incidents.budget import Budget, patience, shares
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Alert, AlertKind, Floats, Ints, Signal, SignalKind

SECOND = 1_000_000
BUDGET = Budget(1, "hour")
PATIENCE = patience(BUDGET, 1 / SECOND)
HELD = 100
_RUN = 25
QUIET = 1_000
"""Seconds before a change."""
WATCHED = 500
"""Seconds after it."""
_SIZES = np.array([0.25, -0.25, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0])
_KINDS = (StepKind.CHANGED, StepKind.RETURNED, StepKind.CANDIDATE, StepKind.WITHDRAWN)
_SUMMARY = Summary(0.0)


@kernel
def _watch(
    values: Floats, sizes: Floats, allowed: float, share: float, withdraw: float, held: int
) -> tuple[Ints, Floats]:
    """Return rows of second, signal and kind of step, and what is said of the share at each.

    `values` float64[n, k]: a value a second of each of k signals.
    """
    count, signals = values.shape
    said = np.empty((4 * count + 4, 3), dtype=np.int64)
    told = np.empty(4 * count + 4)
    size = 0
    for signal in range(signals):
        sums = np.zeros(len(sizes))
        candidate = False
        since = -1
        for second in range(count):
            if since >= 0:
                if second < since + held:
                    continue
                since = -1
                said[size] = (second, signal, 1)
                size += 1
            total = 0.0
            for place in range(len(sizes)):
                step = sizes[place]
                factor = math.exp(step * values[second, signal] - step * step / 2)
                sums[place] = (sums[place] + 1 / len(sizes)) * factor
                total += sums[place]
            kind = -1
            if total >= allowed / share:
                kind, since, candidate = 0, second, False
                sums[:] = 0
            elif total >= allowed or (candidate and total >= withdraw * allowed):
                kind, candidate = 2, True
            elif candidate:
                kind, candidate = 3, False
            if kind >= 0:
                said[size] = (second, signal, kind)
                told[size] = total * share / allowed
                size += 1
            if size >= 4 * count:
                break
    return said[:size], told[:size]


def steps(values: Floats, withdraw: float) -> Iterator[Step]:
    """Yield what signals of these values, float64[seconds, signals], say."""
    count = values.shape[1]
    share = shares([1.0] * count)[0]
    signals = [
        Signal(place, f"s{place}", None, SignalKind.VALUE, AlertKind.DATA_DRIFT)
        for place in range(count)
    ]
    said, told = _watch(values, _SIZES, PATIENCE, share, withdraw, HELD)
    for (second, place, kind), weighed in zip(said.tolist(), told.tolist(), strict=True):
        step, change = _KINDS[kind], None
        if step in (StepKind.CHANGED, StepKind.CANDIDATE):
            change = Change("e", 0.0, 0.0, None, _SUMMARY, _SUMMARY, None, weighed)
        yield Step(step, "m", "1", signals[place], second * SECOND, change)


def alerts_of(said: Sequence[Step]) -> list[Alert]:
    """Return the alerts that come of the steps."""
    incidents = Incidents(lambda _: IncidentSettings(gather=1), lambda _: {})
    return [*incidents.observe(said, 0), *incidents.drain()]


def told_at(said: Sequence[Step], names: Sequence[str]) -> list[int]:
    """Return how long after the change each of the signals is told, at most WATCHED."""
    found = dict.fromkeys(names, WATCHED)
    for alert in alerts_of(said):
        after = alert.time // SECOND - QUIET + 1
        signals = alert.data["signals"]
        if after > 0 and alert.type != "resolved" and isinstance(signals, list):
            for each in signals:
                if each["active"] and each["name"] in found:
                    found[each["name"]] = min(found[each["name"]], after)
    return list(found.values())


def quiet(random: np.random.Generator, signals: int, correlation: float, seconds: int) -> Floats:
    """Return values float64[seconds, signals] that do not change, of equal correlation."""
    common = random.normal(size=(seconds, 1))
    own = random.normal(size=(seconds, signals))
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own


def false_openings(runs: int, seed: int) -> list[list[object]]:
    """Return rows of a table: false openings per one that is allowed."""
    rows: list[list[object]] = []
    seconds, allowed = round(_RUN * PATIENCE), _RUN * runs
    for signals in (1, 10, 50):
        for correlation in (0.0, 0.9, 1.0) if signals > 1 else (0.0,):
            for withdraw in (1.0, 0.5, 0.1):
                random = np.random.default_rng([seed, signals, round(100 * correlation)])
                found = [
                    alert.data["rule"]
                    for _ in range(runs)
                    for alert in alerts_of(
                        [*steps(quiet(random, signals, correlation, seconds), withdraw)]
                    )
                    if alert.type == "opened"
                ]
                together = found.count("together")
                rows.append(
                    [signals, correlation, withdraw, len(found) / allowed, together / allowed]
                )
    return rows


def delays(changes: int, seed: int) -> list[list[object]]:
    """Return rows of a table: seconds to the first and to the median signal that is told."""
    rows: list[list[object]] = []
    for signals, moved in ((50, 1), (50, 2), (50, 5), (50, 20), (50, 50), (500, 10)):
        for shift in (0.5, 1.0):
            random = np.random.default_rng([seed, signals, moved, round(100 * shift)])
            names = [f"s{place}" for place in range(moved)]
            found: list[list[list[int]]] = [[], []]
            for _ in range(changes):
                values = quiet(random, signals, 0.0, QUIET + WATCHED)
                values[QUIET:, :moved] += shift
                said = [*steps(values, WITHDRAW)]
                alone = [each for each in said if each.kind is not StepKind.CANDIDATE]
                found[0].append(told_at(said, names))
                found[1].append(told_at(alone, names))
            means = [[np.mean(np.min(of, axis=1)), np.mean(np.median(of, axis=1))] for of in found]
            rows.append([signals, moved, shift, *means[1], *means[0]])
    return rows


def show(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        cells = (f"{each:.2f}" if isinstance(each, float) else str(each) for each in row)
        print(f"| {' | '.join(cells)} |")
    print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    head = ["signals", "correlation", "withdraw", "openings per allowed one", "of them together"]
    show(head, false_openings(options.runs, options.seed))
    head = ["signals", "moved", "shift (sd)", "alone: first", "median", "e-BH: first", "median"]
    show(head, delays(options.changes, options.seed))


if __name__ == "__main__":
    main()
