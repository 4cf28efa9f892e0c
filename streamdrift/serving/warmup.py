"""A little of everything that comes to a service, so that it calls all of its kernels.

Several models send made-up events: one has a column of each kind, one a rhythm of days, and one
for each detector there is. Every model changes, and goes back, so that what follows an alarm is
called, too. What a kernel is called with is what decides how it is compiled: so nothing here calls
one itself where the pipeline can be made to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from kafka.record import MemoryRecordsBuilder
from pydantic import TypeAdapter

from streamdrift.decoders import make_decoder
from streamdrift.detectors import BANKS, DetectorSettings
from streamdrift.durations import DAY, SECOND
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import standing
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Floats, Messages, Partition
from streamdrift.sources.batches import AbortedTransactions, read_batches
from streamdrift.state import decode, encode

_START = 1_767_225_600 * SECOND
"""A Thursday: the first of January 2026."""
_AT_ONCE = 500
_SNAPSHOTS = (500, 4_000)

Generator = np.random.Generator
Columns = Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True)
class _Model:
    """What a model sends: `events` of them, so many microseconds apart by `spacing`."""

    name: str
    events: int
    draw: Callable[[Generator, Floats, Floats], Columns]
    """Columns of features, from days since the start and how far each event is changed."""
    spacing: Callable[[Floats], Floats]
    """Time from each event to the next, of their shares of the whole."""
    settings: ModelSettings
    texts: bool = False
    """Whether times and ids are texts, in place of numbers."""
    mapping: Mapping[str, object] = field(default_factory=dict)
    """Where the parts of an event stand."""
    alike: bool = True
    """Whether all events have the same fields, in the same order."""


def _values(size: int, random: Generator) -> Floats:
    """Return values each of which is near the one before."""
    noise = random.normal(size=size)
    for place in range(1, size):
        noise[place] += 0.8 * noise[place - 1]
    return noise


def _sticky(random: Generator, drawn: Sequence[Any], size: int, stay: float) -> list[Any]:
    """Return values that mostly repeat the one before."""
    found = [drawn[each] for each in random.integers(0, len(drawn), size).tolist()]
    for place in np.flatnonzero(random.random(size) < stay).tolist():
        found[place] = found[place - 1]
    return found


def _everything(random: Generator, days: Floats, changed: Floats) -> Columns:
    size = len(days)
    number = random.normal(size=size) + 2 * changed
    level = random.choice(["a", "b", "c", "d"], size, p=[0.5, 0.3, 0.15, 0.05])
    moved = changed * random.random(size) > 0.5
    return {
        "number": number.tolist(),
        "walk": (_values(size, random) + 3 * changed).tolist(),
        "cycle": (3 * np.sin(np.arange(size) / 8) + random.normal(size=size)).tolist(),
        "count": random.poisson(2.5 + 2 * changed, size).tolist(),
        "flag": (random.random(size) < 0.2 + 0.4 * changed).tolist(),
        "run": _sticky(random, [True, False, False], size, 0.6),
        "level": np.where(moved, "new", level).tolist(),
        "sequence": _sticky(random, ["a", "b", "c"], size, 0.8),
        "text": ["word " * each for each in random.integers(1, 9, size).tolist()],
        "vector": random.normal(size=(size, 3)).tolist(),
        "number or text": [f"{x}" if bad else x for x, bad in zip(number, moved, strict=True)],
        "number or none": [None if bad else x for x, bad in zip(number, moved, strict=True)],
        "key": [f"k-{each:015x}" for each in random.integers(0, 2**60, size).tolist()],
        "clock": np.arange(size).tolist(),
    }


def _rhythm(random: Generator, days: Floats, changed: Floats) -> Columns:
    size = len(days)
    wave = np.sin(2 * np.pi * days)
    return {
        "number": (3 * wave + random.normal(size=size) + 4 * changed).tolist(),
        "flag": (random.random(size) < 0.3 + 0.2 * wave + 0.2 * changed).tolist(),
        "walk": (2 * wave + _values(size, random)).tolist(),
        "level": np.where(random.random(size) < 0.5 + 0.4 * wave, "day", "night").tolist(),
    }


def _few(random: Generator, days: Floats, changed: Floats) -> Columns:
    size = len(days)
    return {
        "number": (random.normal(size=size) + 3 * changed).tolist(),
        "flag": (random.random(size) < 0.2 + 0.6 * changed).tolist(),
        "level": random.choice(["a", "b"], size).tolist(),
    }


def _evenly(seconds: float) -> Callable[[Floats], Floats]:
    return lambda shares: np.full(len(shares), seconds * SECOND)


def _by_the_hour(weeks: float, events: int) -> Callable[[Floats], Floats]:
    """More by day than by night, and a burst near the end."""
    mean = weeks * 7 * DAY / events

    def spacing(shares: Floats) -> Floats:
        usual = mean * (1.0 + 0.7 * np.sin(2 * np.pi * shares * weeks * 7))
        found: Floats = np.where((shares > 0.85) & (shares < 0.9), usual / 6, usual)
        return found

    return spacing


_DETECTOR: TypeAdapter[DetectorSettings] = TypeAdapter(DetectorSettings)
_OTHERS = (
    *({"kind": kind} for kind in BANKS if kind != "river"),
    {"kind": "focus", "mean": "unknown"},
    {"kind": "river", "name": "FHDDM"},
)


def _models() -> Iterator[_Model]:
    watched: dict[str, Any] = {"reference": {"events": 600}, "alert_budget": "5/hour"}
    longer = ModelSettings.model_validate(watched | {"reference": {"events": 2_000, "span": "0s"}})
    yield _Model("everything", 8_000, _everything, _evenly(5), longer)
    # Of texts there are other kernels, and of what is dropped as repeated.
    texts = ModelSettings.model_validate(watched | {"deduplicate": True})
    yield _Model("texts", 1_500, _everything, _evenly(5), texts, texts=True)
    few = ModelSettings.model_validate(watched)
    yield _Model("keys", 1_500, _few, _evenly(5), few, mapping={"id": {"key": True}})
    yield _Model("unlike", 1_500, _few, _evenly(5), few, alike=False)
    rhythm = ModelSettings.model_validate(
        {"reference": {"events": 2_000, "span": "7d"}, "alert_budget": "1/day"}
    )
    weeks, events = 5, 20_000
    yield _Model("rhythm", events, _rhythm, _by_the_hour(weeks, events), rhythm)
    for number, given in enumerate(_OTHERS):
        detectors = (_DETECTOR.validate_python(given),)
        settings = ModelSettings.model_validate(watched | {"detectors": detectors})
        yield _Model(f"detector {number}", 2_000, _few, _evenly(1), settings)


def _events(model: _Model) -> Iterator[bytes]:
    """Yield a model's events: twice they change, and go back."""
    random = np.random.default_rng(1)
    shares = np.arange(model.events) / model.events
    passed = np.cumsum(model.spacing(shares))
    changed = np.where(((shares > 0.5) & (shares < 0.6)) | (shares > 0.9), 1.0, 0.0)
    columns = model.draw(random, passed / DAY, changed)
    scores = np.clip(random.beta(2, 5, model.events) + 0.3 * changed, 0, 1).tolist()
    for place, time in enumerate((_START + passed.astype(np.int64)).tolist()):
        event = {
            # Some are repeated.
            "event_id": f"e-{place // 2 * 2}" if model.texts else place // 2 + 0.5,
            "model": model.name,
            "version": "1",
            "timestamp": _text(time) if model.texts else time / SECOND,
            "features": {name: values[place] for name, values in columns.items()},
            "prediction": {"score": scores[place], "label": "ny"[scores[place] > 0.5]},
            "latency_ms": 5 + 3 * scores[place],
        }
        if not model.alike:
            names = random.permutation(list(event)).tolist()
            event = {name: event[name] for name in names}
        yield orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)


def _text(time: int) -> str:
    return datetime.fromtimestamp(time / SECOND, UTC).isoformat()


def as_fetched(values: Sequence[bytes], partition: Partition, first: int = 0) -> Messages:
    """Return values as they come out of a broker's response, from offset `first` on."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 30, offset=first)
    for number, value in enumerate(values):
        builder.append(0, b"%d" % number, value, [("source", b"warm-up")])
    builder.close()
    return read_batches(partition, builder.buffer(), first, AbortedTransactions([])).messages


def warm_up(go_on: Callable[[], None]) -> None:
    """Put a few events of every kind through pipelines, as the service does; `go_on` in between."""
    for model in _models():
        _send(model, go_on)
    # What looks into headers, which are the envelopes of some formats.
    make_decoder("cloudevents", {}).decode(as_fetched([b"{}"], Partition("warm-up", 0)))


def _send(model: _Model, go_on: Callable[[], None]) -> None:
    """Send a model's events, and go on amid them from a snapshot."""
    decoder = make_decoder("json", model.mapping)

    def new_pipeline() -> Pipeline:
        monitors = Shards(lambda _: model.settings, 1)
        return Pipeline(lambda _: decoder, Ordering(OrderingSettings()), monitors)

    pipeline, metrics = new_pipeline(), Metrics()
    events = list(_events(model))
    for first in range(0, len(events), _AT_ONCE):
        go_on()
        part = events[first : first + _AT_ONCE]
        pipeline.feed(as_fetched(part, Partition("warm-up", 0), first))
        pipeline.release()
        metrics.watched(standing(pipeline.monitor.monitors))
        metrics.exposition()
        if first in _SNAPSHOTS:
            state = encode(pipeline.snapshot(0))
            pipeline = new_pipeline()
            pipeline.restore({0: decode(state)})
    pipeline.drain()
