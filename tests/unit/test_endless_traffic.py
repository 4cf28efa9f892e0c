"""The demo's traffic, cycle after cycle."""

import itertools

import orjson
import pytest

from streamdrift.demo.endless import MODELS, Cycles, EndlessTraffic
from streamdrift.demo.injections import FRAUD, schedule

_EPOCH = 1_795_000_000_000_000
_CYCLES = Cycles(seed=3, rate=500.0, length=20.0)


def _events(model: str, seconds: float, turns: int = 30) -> list[dict[str, object]]:
    traffic = EndlessTraffic(model, _CYCLES)
    moments = [(turn + 1) * seconds / turns for turn in range(turns)]
    return [orjson.loads(e) for moment in moments for e in traffic.until(moment, _EPOCH)]


@pytest.mark.parametrize("model", MODELS)
def test_cycles_follow_one_another_without_a_seam(model: str) -> None:
    events = _events(model, 60.0)
    times = [float(str(event["timestamp"])) - _EPOCH / 1e6 for event in events]
    assert times == sorted(times)
    assert times[-1] > 59.9
    assert len({event["event_id"] for event in events}) == len(events)
    # Where nothing stops the traffic, no gap is longer than one of the slowest moments.
    near = [time for time in times if abs(time - 20) < 1 or abs(time - 40) < 1]
    assert max(b - a for a, b in itertools.pairwise(near) if b - a < 10) < 3 / 500


def test_every_cycle_has_the_drift_of_the_others_and_other_values() -> None:
    traffic = EndlessTraffic(FRAUD, _CYCLES)
    found = [
        [orjson.loads(event)["features"]["country"] for event in traffic.until(end, _EPOCH)]
        for end in (20.0, 40.0, 60.0)
    ]
    assert all("XK" in countries for countries in found)
    assert found[0] != found[1]


def test_however_it_is_sent_the_content_is_the_same() -> None:
    assert _events(FRAUD, 45.0, turns=1) == _events(FRAUD, 45.0, turns=400)


def test_what_begins_and_ends_is_told_once_and_in_order() -> None:
    whole = _CYCLES.injected(0, 40)
    assert [what for what, _ in whole].count("begin") == 20
    assert whole[0] == ("begin", schedule(20.0)[0])
    parts = [each for turn in range(400) for each in _CYCLES.injected(turn / 10, (turn + 1) / 10)]
    assert parts == whole
