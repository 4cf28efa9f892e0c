"""However a stream is cut and released, all of what is watched comes out the same, bit by bit."""

import itertools
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest

from streamdrift.changes import Step, StepKind
from streamdrift.columns import cut
from streamdrift.incidents.steps import step_state
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import Alert, Batch, ColumnKey, Floats, Group, Released
from streamdrift.references.findings import Code
from streamdrift.state import decode, encode
from tests.batches import SECOND, START, batch, column, feature

_SIZE = 14_000
_REFERENCE = 3_000


def _settings(**changes: object) -> ModelSettings:
    mixed = [{"kind": "e_detector"}, {"kind": "adwin"}]
    # Where this is the first to see a change, the other has to unlearn what it took since.
    quick = {"kind": "page_hinkley", "headroom": 0}
    values: dict[str, object] = {
        "reference": {"events": _REFERENCE},
        "alert_budget": "40/hour",
        "hold": {"accept_after": "300s", "accept_events": 300},
        "minimum_effect": 0.2,
        "signals": {
            "amount": mixed,
            "channel (category)": mixed,
            "flag": [{"kind": "e_detector"}, {**quick, "threshold": 12}],
            "holey (missing)": [{"kind": "e_detector"}, {**quick, "threshold": 15}],
            "channel (unseen)": mixed,
            "old": [{"kind": "adwin"}],
            "nobody": [],
        },
    }
    return ModelSettings.model_validate(values | changes)


def _memory(rng: np.random.Generator, size: int, weight: float) -> Floats:
    noise = rng.normal(size=size)
    for i in range(1, size):
        noise[i] += weight * noise[i - 1]
    return noise


@cache
def _stream() -> Batch:
    """Columns of every kind, some of which shift for a while, for good, or together a little."""
    rng = np.random.default_rng(20)
    i = np.arange(_SIZE)
    for_a_while = (i >= 5_000) & (i < 6_500)
    for_good = i >= 8_000
    together = (i >= 7_000) & (i < 7_600)
    amount = rng.normal(size=_SIZE) + 1.0 * for_a_while
    memory = _memory(rng, _SIZE, 0.7) + 4 * for_a_while
    cycle = rng.normal(size=_SIZE) + 2 * np.sin(i * 2 * np.pi / 150) + 3 * for_good
    channel = rng.choice(["web", "app", "shop"], _SIZE, p=[0.6, 0.3, 0.1]).astype(object)
    channel[for_a_while & (rng.random(_SIZE) < 0.3)] = "kiosk"
    flag = rng.random(_SIZE) < np.where(for_good, 0.5, 0.2)
    missing = rng.random(_SIZE) < np.where(for_a_while, 0.3, 0.05)
    numbers = rng.normal(size=_SIZE).tolist()
    holey = [None if gone else x for gone, x in zip(missing, numbers, strict=True)]
    vectors = rng.normal(size=(_SIZE, 3)) + for_good[:, None]
    texts = [f"order {k} {'of a customer ' * int(n)}" for k, n in enumerate(rng.poisson(2, _SIZE))]
    weak = {
        feature(f"weak {k}"): column((rng.normal(size=_SIZE) + 0.6 * together).tolist())
        for k in range(6)
    }
    score = rng.random(_SIZE) ** (1 + for_good)
    gaps = rng.choice([0, 50_000, 100_000, 3 * SECOND], _SIZE, p=[0.2, 0.4, 0.38, 0.02])
    ids = np.where(rng.random(_SIZE) < np.where(for_good, 0.05, 0.001), i, i + 1) + 1
    return batch(
        {
            feature("amount"): column(amount.tolist()),
            feature("memory"): column(memory.tolist()),
            feature("cycle"): column(cycle.tolist()),
            feature("channel"): column(channel.tolist()),
            feature("flag"): column(flag.tolist()),
            feature("holey"): column(holey),
            feature("old"): column((rng.normal(size=_SIZE) + for_a_while).tolist()),
            feature("nobody"): column((rng.normal(size=_SIZE) + for_good).tolist()),
            feature("vector"): column(vectors.tolist()),
            feature("note"): column(texts),
            ColumnKey(Group.OUTPUT, "score"): column(score.tolist()),
            **weak,
        },
        times=(START + np.cumsum(gaps)).tolist(),
        ids=ids.tolist(),
    )


def _releases(stream: Batch, seed: int | None) -> Iterator[Released]:
    """Cut a stream at random places, with random watermarks in between; without a seed nowhere."""
    if seed is None:
        yield Released((stream,), int(stream.time[-1]) + 1)
        return
    random = Random(seed)
    places = {random.randrange(1, len(stream)) for _ in range(random.choice((3, 30, 120)))}
    # Some single events, and blocks that begin and end around a multiple of those inside.
    places |= {place + 1 for place in list(places)[:10]} | {_REFERENCE, 2_048, 4_096, 5_048}
    for start, stop in itertools.pairwise([0, *sorted(places), len(stream)]):
        last = int(stream.time[stop - 1])
        next_time = int(stream.time[stop]) if stop < len(stream) else last + 1
        count = random.choice((1, 1, 3))
        watermarks = sorted(random.randint(last, next_time) for _ in range(count))
        yield Released((cut(stream, start, stop),), watermarks[0])
        for watermark in watermarks[1:]:
            yield Released((), watermark)
    yield Released((), last + 1)


def _steps(chosen: ModelSettings, seed: int | None) -> tuple[list[Step], ModelVersion]:
    random = Random(seed)
    version = ModelVersion("fraud", "3", chosen)
    steps: list[Step] = []
    for released in _releases(_stream(), seed):
        for each in released.batches:
            steps += version.observe(each).steps
        steps += version.advance(released.watermark)
        if seed is not None and random.random() < 0.2:
            state = decode(encode(version.snapshot()))
            version = ModelVersion("fraud", "3", chosen)
            assert version.restore(state) == []
    return _in_order(steps), version


def _in_order(steps: list[Step]) -> list[Step]:
    """Return steps as the monitor sorts them."""
    return sorted(steps, key=lambda step: (step.time, step.signal.ordinal))


def _written(steps: list[Step]) -> list[bytes]:
    return [encode(step_state(step)) for step in steps]


@cache
def _whole(deduplicate: bool) -> tuple[list[Step], ModelVersion]:
    return _steps(_settings(deduplicate=deduplicate), None)


def test_the_stream_makes_signals_do_all_they_can() -> None:
    steps, version = _whole(False)
    # What operators ask is no doing of the stream's.
    assert {step.kind for step in steps} == set(StepKind) - {StepKind.RESOLVED}
    told = {(step.signal.name, step.kind) for step in steps}
    for name in ("amount", "memory", "channel (category)", "old", "holey (missing)"):
        assert {(name, StepKind.CHANGED), (name, StepKind.RETURNED)} <= told
    for name in ("cycle", "flag", "vector (norm)", "score", "duplicates", "note (length)"):
        assert {(name, StepKind.CHANGED), (name, StepKind.ACCEPTED)} <= told
    weak = {name for name, kind in told if kind is StepKind.CANDIDATE and name.startswith("weak")}
    assert len(weak) >= 3
    assert "nobody" not in {name for name, _ in told}
    raised = {
        (step.signal.name, step.change.detector)
        for step in steps
        if step.kind is StepKind.CHANGED and step.change
    }
    assert {("flag", "page_hinkley"), ("holey (missing)", "page_hinkley")} <= raised
    assert ("old", "adwin") in raised
    assert {("channel (category)", "e_detector"), ("amount", "e_detector")} <= raised
    watching = version._watching
    assert watching is not None
    found = {signal.name: {each.code for each in said} for signal, said in watching.findings}
    assert Code.CYCLE in found["cycle"]
    assert Code.MEMORY in found["memory"]


@pytest.mark.parametrize("seed", range(6))
def test_steps_and_state_of_a_version_do_not_depend_on_the_cut(seed: int) -> None:
    chosen = _settings(deduplicate=seed % 2 == 1)
    expected, whole = _whole(bool(seed % 2))
    steps, parts = _steps(chosen, seed)
    assert _written(steps) == _written(expected)
    assert encode(parts.snapshot()) == encode(whole.snapshot())


def _alerts(chosen: ModelSettings, seed: int | None) -> tuple[list[Alert], Monitor]:
    random = Random(seed)
    monitor = Monitor(lambda model: chosen)
    alerts: list[Alert] = []
    for released in _releases(_stream(), seed):
        alerts += monitor.observe(released).alerts
        if seed is not None and random.random() < 0.2:
            state = decode(encode(monitor.snapshot()))
            monitor = Monitor(lambda model: chosen)
            assert monitor.restore(state) == []
    return alerts, monitor


@pytest.mark.parametrize("changes", [{}, {"feature_groups": 3}, {"deduplicate": True}], ids=str)
def test_alerts_and_state_of_the_monitor_do_not_depend_on_the_cut(
    changes: dict[str, object],
) -> None:
    chosen = _settings(**changes)
    expected, whole = _alerts(chosen, None)
    assert {alert.type for alert in expected} == {"opened", "updated", "resolved"}
    told: list[Any] = [alert.data["signals"] for alert in expected]
    together = {signal["together"] for signals in told for signal in signals}
    assert 1 in together
    assert max(together) > 1
    for seed in (11, 12):
        alerts, parts = _alerts(chosen, seed)
        assert alerts == expected
        assert encode(parts.snapshot()) == encode(whole.snapshot())
