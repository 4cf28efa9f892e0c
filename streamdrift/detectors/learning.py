"""From the values of a reference to what a signal is held against."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.detectors.arming import arm
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.learning_rates import NEEDED, learn_rate, power_of
from streamdrift.records import Floats, Ints, Sample, State, Stream
from streamdrift.references.chain import Chain
from streamdrift.references.chances import Chances
from streamdrift.references.counts import Counts
from streamdrift.references.findings import Code, Finding
from streamdrift.references.front import Front, fit
from streamdrift.references.recall import Recall
from streamdrift.references.recall_fit import fit_recall, variance_left
from streamdrift.references.slow import Given
from streamdrift.sketches.quantiles import PROBABILITIES, Quantiles, mean_of, quantiles_of
from streamdrift.trees import array, flag, integer, text, trees, values

_TENTHS_FOUND = 3
"""Tenths of all values in a block of counting where something explains the values: what is left
follows itself for a while."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a signal is held against.

    `counts` are of a numeric signal; a rate has a `front` where its values have chances. The front
    moves on with the signal: whoever watches by it takes a copy. `findings` are what people should
    know. A change must show itself `within` so many values: what takes longer cannot be told from a
    rhythm that is not known. `quantiles` and `mean` are those of a numeric signal's values
    themselves, for people, and so is `shape`, None where `counts` says the same.
    """

    expected: Expected
    counts: Counts | None = None
    front: Front | None = None
    findings: tuple[Finding, ...] = ()
    within: float = math.inf
    quantiles: Quantiles = field(default_factory=dict)
    mean: float = math.nan
    shape: Counts | None = None

    @property
    def tenths(self) -> int:
        """Tenths of all values after which values are counted as normal; see `Urns.learn`."""
        return _TENTHS_FOUND if self.expected.dependent else 1

    def snapshot(self) -> State:
        """Return everything as a tree."""
        expected = self.expected
        return {
            "stream": expected.stream.value,
            "figures": np.array([expected.mean, expected.scale]),
            "counted": expected.counts,
            "power": expected.power,
            "dependent": expected.dependent,
            "closed": expected.closed,
            "chain": None if expected.chain is None else expected.chain.snapshot(),
            "chances": None if expected.chances is None else expected.chances.snapshot(),
            "recall": None if expected.recall is None else expected.recall.snapshot(),
            "counts": None if self.counts is None else self.counts.snapshot(),
            "front": None if self.front is None else self.front.snapshot(),
            "findings": [
                {
                    "code": finding.code.value,
                    "names": list(finding.figures),
                    "values": np.array(list(finding.figures.values()), dtype=np.float64),
                }
                for finding in self.findings
            ],
            "within": np.array([self.within]),
            "quantiles": np.array([self.quantiles[name] for name in sorted(self.quantiles)]),
            "mean": np.array([self.mean]),
            "shape": None if self.shape is None else self.shape.snapshot(),
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """Return what `snapshot` was taken of."""
        mean, scale = array(state, "figures").astype(np.float64).tolist()
        counts, front, recall = state["counts"], state["front"], state["recall"]
        chain, chances = state["chain"], state["chances"]
        shape = state["shape"]
        expected = Expected(
            Stream(text(state, "stream")),
            mean,
            scale,
            array(state, "counted").astype(np.float64),
            integer(state, "power"),
            flag(state, "dependent"),
            flag(state, "closed"),
            Chain.restore(chain) if isinstance(chain, Mapping) else None,
            Recall.restore(recall) if isinstance(recall, Mapping) else None,
            Chances.restore(chances) if isinstance(chances, Mapping) else None,
        )
        return cls(
            expected,
            Counts.restore(counts) if isinstance(counts, Mapping) else None,
            Front.restore(front) if isinstance(front, Mapping) else None,
            tuple(_finding(each) for each in trees(state, "findings")),
            float(array(state, "within").astype(np.float64)[0]),
            _quantiles(array(state, "quantiles").astype(np.float64)),
            float(array(state, "mean").astype(np.float64)[0]),
            Counts.restore(shape) if isinstance(shape, Mapping) else None,
        )


def _quantiles(figures: Floats) -> Quantiles:
    names = sorted(f"{probability:g}" for probability in PROBABILITIES)
    return dict(zip(names, figures.tolist(), strict=False))


def _finding(state: State) -> Finding:
    names = [str(name) for name in values(state, "names")]
    figures = array(state, "values").astype(np.float64).tolist()
    return Finding(Code(text(state, "code")), dict(zip(names, figures, strict=True)))


def learn(
    sample: Sample,
    times: Ints | None = None,
    zone: ZoneInfo | None = None,
    seed: int = 0,
    given: Given | None = None,
) -> Reference:
    """Return what a signal is held against, learned from what is normal.

    `times` int64[n] in microseconds, of the values of a numeric signal or a rate, let the calendar
    be looked for, in `zone`; `given` is what is known of it beside.
    """
    if sample.stream is Stream.RATE:
        rate = learn_rate(sample, times, zone, given)
        return Reference(rate.expected, front=rate.front, findings=rate.findings)
    if sample.stream is Stream.CATEGORY:
        return _of_category(sample)
    fitted = fit(sample.values, times, zone, given=given)
    left = fitted.residuals[~np.isnan(fitted.residuals)]
    armed = arm(fitted.residuals, fitted, seed)
    expected = Expected(Stream.NUMERIC, power=armed.power, dependent=fitted.found)
    findings = (*fitted.findings, *armed.findings)
    quantiles, mean = quantiles_of(sample.values), mean_of(sample.values)
    shape = None
    if fitted.front is not None:
        shape = Counts.of(sample.values[~np.isnan(sample.values)])
    counts = Counts.of(left)
    return Reference(expected, counts, fitted.front, findings, math.inf, quantiles, mean, shape)


def _of_category(sample: Sample) -> Reference:
    """Return what a category is held against: with its memory, where it has one."""
    expected = Expected(Stream.CATEGORY, counts=sample.values, closed=sample.closed)
    if sample.order is None:
        return Reference(expected)
    recall = fit_recall(sample.order, sample.values, sample.closed)
    if recall is None:
        left = variance_left(sample.order, sample.values, sample.closed)
        return _discounted(expected, power_of(left))
    ratio = recall.variance_ratio
    expected = replace(expected, recall=recall, power=power_of(ratio))
    if recall.ordered:
        found = Finding(Code.ORDER, {"share": 100 * recall.share})
    else:
        found = Finding(Code.MEMORY, {"sum": recall.share, "needed": NEEDED * ratio})
    return Reference(expected, findings=(found,))


def _discounted(expected: Expected, power: int) -> Reference:
    """Return what is expected where evidence counts to a power."""
    if not power:
        return Reference(expected)
    discounted = Finding(Code.DISCOUNTED, {"power": 2 ** (-power / 6)})
    return Reference(replace(expected, power=power), findings=(discounted,))
