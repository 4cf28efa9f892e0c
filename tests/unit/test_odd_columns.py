"""Columns as no one would wish them: nothing falls over, and what stays as it was is no drift."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.columns import cut
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import Alert, Released
from streamdrift.state import decode, encode
from tests.batches import SECOND, batch

_SIZE = 6_000
_RNG = np.random.default_rng(3)
_NORMAL = _RNG.normal(size=_SIZE)
_HALF = _RNG.random(_SIZE) < 0.5


def _watched(cells: Sequence[object], step: int = SECOND, **settings: object) -> list[Alert]:
    """Return the alerts of a column `x`, watched by its first 1,000 events."""
    chosen = ModelSettings.model_validate({"reference": {"events": 1_000}} | settings)
    monitor = Monitor(lambda model: chosen)
    stream = batch({"x": cells}, step=step)
    alerts: list[Alert] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in range(0, len(stream), 900):
            part = cut(stream, start, min(len(stream), start + 900))
            alerts += monitor.observe(Released((part,), int(part.time[-1]))).alerts
            state = decode(encode(monitor.snapshot()))
            monitor = Monitor(lambda model: chosen)
            assert monitor.restore(state) == []
        alerts += monitor.drain(Released((), int(stream.time[-1]) + 1)).alerts
    return alerts


def _opened(alerts: Sequence[Alert]) -> list[str]:
    return [str(alert.data["summary"]) for alert in alerts if alert.type == "opened"]


_STEADY: dict[str, Sequence[object]] = {
    "constant": [5.0] * _SIZE,
    "two values": _HALF.astype(float).tolist(),
    "whole numbers": _RNG.poisson(3, _SIZE).astype(float).tolist(),
    "huge whole numbers": [float(2**62 + int(v)) for v in _RNG.integers(0, 10**6, _SIZE)],
    "tiny": (_NORMAL * 1e-300).tolist(),
    "huge": (_NORMAL * 1e300).tolist(),
    "now and then huge": np.where(_RNG.random(_SIZE) < 0.01, 1e308, _NORMAL).tolist(),
    "infinite and none": np.where(_HALF, np.inf, np.nan).tolist(),
    "now and then infinite": np.where(_RNG.random(_SIZE) < 0.05, np.inf, _NORMAL).tolist(),
    "no number": [np.nan] * _SIZE,
    "nothing": [None] * _SIZE,
    "one outlier in the reference": [1e12, *_NORMAL[1:].tolist()],
    "sawtooth": [float(i % 7) for i in range(_SIZE)],
    "of every kind": [[1.0, None, "a", True, [1.0], ...][i] for i in _RNG.integers(0, 6, _SIZE)],
    "vectors of any length": [[1.0] * int(n) for n in _RNG.integers(0, 5, _SIZE)],
    "one level": ["a"] * _SIZE,
    "many levels": [f"{v}" for v in np.minimum(_RNG.zipf(1.4, _SIZE), 10**6)],
    "too many levels": [f"{v}" for v in _RNG.integers(0, 3_000, _SIZE)],
    "texts": [f"order of {'some ' * int(n)}things" for n in _RNG.poisson(2, _SIZE)],
}


@pytest.mark.parametrize("cells", _STEADY.values(), ids=_STEADY.keys())
def test_what_stays_as_it_was_is_no_drift(cells: Sequence[object]) -> None:
    roles = {}
    if isinstance(cells[0], str):
        roles["x"] = "text" if " " in cells[0] else "category"
    assert _opened(_watched(cells, roles=roles)) == []


def test_a_reference_without_a_value_is_watched_for_the_first_one() -> None:
    (summary,) = _opened(_watched([None] * 3_000 + _NORMAL[3_000:].tolist()))
    assert summary.startswith("x of fraud/3 changed: missing 100 % -> ")


def test_a_column_that_ends_is_missing() -> None:
    (summary,) = _opened(_watched(_NORMAL[:3_000].tolist() + [None] * 3_000))
    assert summary.startswith("x of fraud/3 changed: missing 0 % -> ")


def test_a_constant_that_becomes_another_is_found() -> None:
    (summary,) = _opened(_watched([5.0] * 3_000 + [6.0] * 3_000))
    assert summary.startswith("x of fraud/3 changed: median 5 -> 6 (")


def test_events_of_one_time_are_in_their_order() -> None:
    shifted = [*_NORMAL[:3_000].tolist(), *(_NORMAL[3_000:] + 3).tolist()]
    assert len(_opened(_watched(shifted, step=0))) == 1
