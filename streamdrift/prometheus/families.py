"""The metrics that have a series per signal, model or partition: declared once, and their text.

The text is made anew for each scrape from what the service has reported last.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from streamdrift.monitoring.standing import NOTHING, Standing
from streamdrift.prometheus.exposition import (
    Labels,
    ReadingLabels,
    heading,
    label,
    nearest,
    samples,
)
from streamdrift.records import Floats, FoundIn, Partition, WarmUp

_MODEL, _VERSION = ("model",), ("model", "version")
_READING = (*_VERSION, "signal", "detector")
_SERIES, _BREATH = 500, 0.001
"""After so many series, others may run for so many seconds."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: the name of its samples, `gauge` or `counter`, a sentence, and its labels."""

    name: str
    kind: str
    about: str
    labels: tuple[str, ...] = ()


STATISTIC = Family(
    "streamdrift_signal_statistic", "gauge", "A detector's statistic for a signal.", _READING
)
THRESHOLD = Family(
    "streamdrift_signal_threshold",
    "gauge",
    "The statistic at which the detector decides that the signal changed.",
    _READING,
)
CHANGED = Family(
    "streamdrift_signal_changed",
    "gauge",
    "1 from a signal's change to its return or acceptance.",
    _READING,
)
LEFT_OUT = Family(
    "streamdrift_signals_left_out",
    "gauge",
    "Readings of signals not shown, as there are more than http.max_series.",
)
FINDING = Family(
    "streamdrift_signal_finding",
    "gauge",
    "1 where this was found in a signal's reference: `calendar`, `cycle`, `memory`, `no_level`, "
    "`provisional`, `not_assured`, `comes_back`, ...; the log, a replay's summary and `streamdrift "
    "state show` say it in words.",
    (*_VERSION, "signal", "finding"),
)
FINDINGS_LEFT_OUT = Family(
    "streamdrift_findings_left_out",
    "gauge",
    "Findings not shown, as there are more than http.max_series.",
)
WARM_UP = Family(
    "streamdrift_warm_up_ratio",
    "gauge",
    "Progress of the reference: at 1 the model version is watched.",
    _VERSION,
)
INCIDENTS = Family(
    "streamdrift_incidents_open",
    "gauge",
    "Incidents that are not resolved, without those that began in a planned change.",
    _VERSION,
)
EXPECTED = Family(
    "streamdrift_incidents_expected",
    "gauge",
    "Incidents that are not resolved and began in a planned change: they page nobody.",
    _VERSION,
)
BUDGET = Family(
    "streamdrift_alert_budget_per_week",
    "gauge",
    "False alarms that alert_budget allows in a week of event time.",
    _MODEL,
)
OPENED = Family(
    "streamdrift_alerts_opened_total",
    "counter",
    "Incidents that tests opened, true ones among them; silence is no test.",
    _MODEL,
)
JOINED = Family(
    "streamdrift_changes_joined_total",
    "counter",
    "Changes that joined an incident after it was opened.",
    _MODEL,
)
REALISED = Family(
    "streamdrift_realised_alerts_per_week",
    "gauge",
    "Incidents that tests opened in a week of event time since the model's first reference; less "
    "than a week counts as one.",
    _MODEL,
)
DROPPED = Family(
    "streamdrift_duplicates_dropped_total",
    "counter",
    "Repeated events that were dropped, as deduplicate says.",
    _MODEL,
)
UNWATCHED = Family(
    "streamdrift_events_unwatched_total",
    "counter",
    "Events of model versions beyond the limit of those watched at once.",
)
LAG = Family(
    "streamdrift_lag_messages",
    "gauge",
    "Messages of a partition that are not read yet.",
    ("partition", "topic"),
)
DISPLACED = Family(
    "streamdrift_events_displaced_total",
    "counter",
    "Events taken at another time than their own: `late`, or `unbelieved` as too far ahead; with "
    "several workers `unpromised`, which came below what their partition had promised: there "
    "should be none.",
    ("reason",),
)
FAMILIES = (
    *(STATISTIC, THRESHOLD, CHANGED, LEFT_OUT, FINDING, FINDINGS_LEFT_OUT, WARM_UP),
    *(INCIDENTS, EXPECTED),
    *(BUDGET, OPENED, JOINED, REALISED, DROPPED, UNWATCHED, LAG, DISPLACED),
)
Chunk = bytes | memoryview


@dataclass(slots=True)
class Shown:
    """What was reported last; each value is replaced as a whole.

    `most` is the number of series of a family at most, None for all.
    """

    most: int | None
    standing: Standing = NOTHING
    lag: Mapping[str, Mapping[Partition, int]] = field(default_factory=dict)
    displaced: Mapping[str, int] = field(default_factory=dict)
    _labels: ReadingLabels = field(default_factory=ReadingLabels)

    def text(self) -> Iterator[Chunk]:
        """Yield the text of all families. One thread at a time may ask for it."""
        stands = self.standing
        yield from self._readings(stands)
        yield from self._findings(stands.findings)
        yield from self._models(stands)
        lag = (
            ((str(partition.number), partition.topic), messages)
            for of in self.lag.values()
            for partition, messages in sorted(of.items())
        )
        yield from _family(LAG, lag)
        displaced = (((reason,), events) for reason, events in sorted(self.displaced.items()))
        yield from _family(DISPLACED, displaced)

    def _readings(self, stands: Standing) -> Iterator[Chunk]:
        labels = self._labels.of(stands.readings)
        statistic = _column([each.statistic for each in stands.readings])
        threshold = _column([each.threshold for each in stands.readings])
        changed = _column([each.changed for each in stands.readings])
        chosen = nearest(statistic, threshold, changed > 0, self.most)
        for family, values in ((STATISTIC, statistic), (THRESHOLD, threshold), (CHANGED, changed)):
            yield heading(family.name, family.kind, family.about)
            yield from samples(family.name, labels, values, chosen)
        yield from _family(LEFT_OUT, [((), len(statistic) - len(chosen))])

    def _findings(self, findings: Sequence[FoundIn]) -> Iterator[Chunk]:
        total = sum(len(each.codes) for each in findings)
        shown = total if self.most is None else min(self.most, total)
        found = ((each.model, each.version, *code) for each in findings for code in each.codes)
        yield from _family(FINDING, ((names, 1) for names in islice(found, shown)))
        yield from _family(FINDINGS_LEFT_OUT, [((), total - shown)])

    def _models(self, stands: Standing) -> Iterator[Chunk]:
        some = slice(self.most)
        warm_ups = sorted(stands.warm_ups)[some]
        yield from _family(WARM_UP, ((each[:2], _ratio(each)) for each in warm_ups))
        yield from _family(INCIDENTS, sorted(stands.incidents.items())[some])
        yield from _family(EXPECTED, sorted(stands.expected.items())[some])
        rates = stands.realised[some]
        yield from _family(BUDGET, (((each.model,), each.budget.per_week) for each in rates))
        yield from _family(OPENED, (((each.model,), each.opened) for each in rates))
        yield from _family(JOINED, (((each.model,), each.joined) for each in rates))
        known = ((each.model, each.per_week) for each in rates)
        yield from _family(
            REALISED, (((model,), rate) for model, rate in known if rate is not None)
        )
        dropped = sorted(stands.dropped.items())[some]
        yield from _family(DROPPED, (((model,), events) for model, events in dropped))
        yield from _family(UNWATCHED, [((), stands.unwatched)])


def _ratio(warm_up: WarmUp) -> float:
    """Return how far a reference is; the events may be there while the time span is not."""
    return 1.0 if warm_up.complete else min(0.99, warm_up.events / max(1, warm_up.wanted))


def _column(parts: Sequence[np.ndarray[tuple[int], np.dtype[np.generic]]]) -> Floats:
    return np.concatenate([np.empty(0), *parts])


def _family(family: Family, series: Iterable[tuple[Sequence[str], float]]) -> Iterator[Chunk]:
    """Yield the text of a family whose series are given one by one: labels' values, and value."""
    yield heading(family.name, family.kind, family.about)
    texts: list[bytes] = []
    values: list[float] = []
    for names, value in series:
        texts.append(label(dict(zip(family.labels, names, strict=True))) if names else b"")
        values.append(value)
        if len(texts) == _SERIES:
            yield from _lines(family, texts, values)
            texts, values = [], []
            time.sleep(_BREATH)
    yield from _lines(family, texts, values)


def _lines(family: Family, texts: Sequence[bytes], values: Sequence[float]) -> Iterator[Chunk]:
    figures = np.array(values, dtype=np.float64)
    return samples(family.name, Labels.of(texts), figures, np.arange(len(texts)))
