import itertools

import orjson
import pytest

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection, schedule
from streamdrift.demo.traffic import Traffic

_EPOCH = 1_795_000_000_000_000


def _events(injections: tuple[Injection, ...], model: str = FRAUD, turns: int = 4) -> list[bytes]:
    traffic = Traffic(model, 3, 500.0, 20.0, injections)
    return [
        event for turn in range(turns) for event in traffic.until((turn + 1) * 20 / turns, _EPOCH)
    ]


@pytest.mark.parametrize("model", [FRAUD, DELIVERY])
def test_volume_follows_a_rhythm_about_its_mean(model: str) -> None:
    times = [orjson.loads(event)["timestamp"] for event in _events((), model)]
    assert len(times) == pytest.approx(10_000, rel=0.02)
    assert times == sorted(times)
    halves = sum(time < _EPOCH / 1e6 + 10 for time in times)
    assert halves > 0.6 * len(times)


@pytest.mark.parametrize("model", [FRAUD, DELIVERY])
def test_content_is_the_same_for_the_same_seed_however_it_is_sent(model: str) -> None:
    injections = schedule(20.0)
    whole = _events(injections, model, turns=1)
    assert _events(injections, model, turns=7) == whole
    assert _events(injections, model, turns=400) == whole


def test_events_are_sent_when_they_are_due() -> None:
    traffic = Traffic(FRAUD, 3, 500.0, 20.0, ())
    for moment in (0.3, 7.0, 7.001, 20.0, 31.0):
        for event in traffic.until(moment, _EPOCH):
            assert orjson.loads(event)["timestamp"] <= _EPOCH / 1e6 + moment
    assert traffic.until(31.0, _EPOCH) == []


def test_ten_injections_of_which_no_two_overlap_on_a_model() -> None:
    injections = schedule(60.0)
    assert len(injections) == len({injection.name for injection in injections}) == 10
    for model in (FRAUD, DELIVERY):
        mine = [injection for injection in injections if injection.model == model]
        assert mine[0].begin > 7
        for earlier, later in itertools.pairwise(mine):
            assert earlier.begin < earlier.end < earlier.over <= later.begin + 1e-9
        assert mine[-1].over < 60


def test_injection_changes_only_its_column() -> None:
    (shift,) = (each for each in schedule(20.0) if each.name == "sudden mean shift")
    plain, shifted = _events(()), _events((shift,))
    for before, after in zip(map(orjson.loads, plain), map(orjson.loads, shifted), strict=True):
        moment = before["timestamp"] - _EPOCH / 1e6
        if shift.begin <= moment < shift.end:
            amount = before["features"].pop("amount")
            assert after["features"].pop("amount") == pytest.approx(2.5 * amount, abs=0.02)
        assert before == after
