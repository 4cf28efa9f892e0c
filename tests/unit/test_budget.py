"""The budget: how it is written, what it allows, and how several signals share it."""

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamdrift.incidents.budget import Budget, e_bh, patience, shares
from streamdrift.models.settings import ModelSettings
from streamdrift.records import AlertKind, ColumnKey, Group, Signal, SignalKind
from tests.alerts import SECOND, make_signal

HOUR = 3_600 * SECOND
WEEK = 7 * 24 * HOUR


@pytest.mark.parametrize(
    ("text", "period", "per_week"),
    [
        ("2/week", WEEK / 2, 2),
        ("1/hour", HOUR, 168),
        ("0.5/day", 48 * HOUR, 3.5),
        ("3/month", 240 * HOUR, 0.7),
    ],
)
def test_a_budget_is_a_rate_in_event_time(text: str, period: float, per_week: float) -> None:
    budget = Budget.parse(text)
    assert budget.period == period
    assert budget.per_week == pytest.approx(per_week)
    assert str(budget) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "/week", "2/", "2/year", "2/weeks", "two/week", "-1/day", "+1/day", "1e3/day"),
        *("1 per day", " 2/week", "2/week\n", "2 / week", ".5/day", "2./day", "nan/day"),
        *("٢/week", 2, 2.0, None, True, ["2/week"]),
    ],
)
def test_what_is_no_budget_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"is no alert budget: write a number, a slash and hour"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["0/week", "0.0/hour", "0." + "0" * 400 + "1/day"])
def test_a_budget_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allows no false alarm ever, which no test can promise"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["9" * 400 + "/hour", "0." + "0" * 315 + "1/month"])
def test_a_budget_beyond_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large or too small a number"):
        Budget.parse(text)


@given(st.floats(1e-9, 1e9), st.sampled_from(["hour", "day", "week", "month"]))
def test_what_is_written_is_read(alarms: float, unit: str) -> None:
    budget = Budget(alarms, unit)
    assert Budget.parse(str(budget)) == budget


def test_settings_hold_the_budget_and_show_it() -> None:
    assert ModelSettings().alert_budget == Budget(2, "week")
    chosen = ModelSettings.model_validate({"alert_budget": "1/month"})
    assert chosen.alert_budget == Budget(1, "month")
    assert chosen.model_dump(mode="json")["alert_budget"] == "1/month"
    with pytest.raises(ValidationError, match="allows no false alarm ever"):
        ModelSettings.model_validate({"alert_budget": "0/day"})


def test_the_budget_is_no_term_of_a_reference() -> None:
    other = {"alert_budget": "9/hour", "signal_weights": {"amount": 3}}
    assert ModelSettings.model_validate(other).terms() == ModelSettings().terms()


@pytest.mark.parametrize("weight", [0, -1, math.inf, math.nan, "much"])
def test_weights_are_numbers_above_nothing(weight: object) -> None:
    with pytest.raises(ValidationError, match="signal_weights"):
        ModelSettings.model_validate({"signal_weights": {"amount": weight}})


def test_a_signals_own_weight_goes_before_that_of_its_column() -> None:
    weights = {
        "amount": 2,
        "amount (norm)": 3,
        "score (output)": 4,
        "score": 5,
        "score (missing)": 6,
    }
    chosen = ModelSettings.model_validate({"signal_weights": weights})
    score = ColumnKey(Group.OUTPUT, "score")

    def of_score(kind: SignalKind, name: str) -> Signal:
        return Signal(7, name, score, kind, AlertKind.PREDICTION_DRIFT)

    assert chosen.weight_of(make_signal(0, "amount")) == 2
    assert chosen.weight_of(make_signal(1, "amount", SignalKind.NORM)) == 3
    assert chosen.weight_of(make_signal(2, "amount", SignalKind.MISSING)) == 2
    assert chosen.weight_of(make_signal(3, "age")) == 1
    assert chosen.weight_of(make_signal(-1, "silence", SignalKind.SILENCE)) == 1
    assert chosen.weight_of(of_score(SignalKind.VALUE, "score (output)")) == 4
    assert chosen.weight_of(of_score(SignalKind.MISSING, "score (output) (missing)")) == 6


def test_patience_is_in_a_signals_own_values() -> None:
    budget = Budget.parse("2/week")
    assert patience(budget, 100 / SECOND) == 100 * 3.5 * 24 * 3_600
    assert patience(budget, 1 / (10 * WEEK)) == 100
    assert patience(budget, 0) == 100


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50), st.integers(1, 9))
def test_shares_sum_to_what_a_group_has(weights: list[float], groups: int) -> None:
    found = shares(weights, groups)
    assert math.fsum(found) == pytest.approx(1 / groups)
    assert [share / found[0] for share in found] == pytest.approx(
        [weight / weights[0] for weight in weights]
    )


def test_of_no_signals_nobody_has_a_share() -> None:
    assert shares([]) == ()


# e-BH

SHARES = st.dictionaries(
    st.integers(0, 20),
    st.floats(0, 3) | st.sampled_from([1.0, 0.5, 1 / 3, 0.25, 0.2, math.inf]),
    max_size=8,
)


def largest_consistent(given: dict[int, float]) -> set[int]:
    """Return the largest set of which each has at least one over its size."""
    return next(
        (
            set(chosen)
            for size in range(len(given), 0, -1)
            for chosen in combinations(given, size)
            if all(given[signal] * size >= 1 for signal in chosen)
        ),
        set(),
    )


@given(SHARES)
@settings(max_examples=300)
def test_e_bh_finds_the_largest_consistent_set(given: dict[int, float]) -> None:
    assert e_bh(given) == largest_consistent(given)


@given(SHARES)
def test_e_bh_tells_what_is_enough_alone(given: dict[int, float]) -> None:
    found = e_bh(given)
    assert found >= {signal for signal, share in given.items() if share >= 1}
    assert not found or sum(given[signal] for signal in found) >= 1 - 1e-12


@given(SHARES, st.data())
def test_more_evidence_never_tells_less(given: dict[int, float], data: st.DataObject) -> None:
    more = given | data.draw(SHARES)
    more = {signal: max(share, given.get(signal, 0.0)) for signal, share in more.items()}
    assert e_bh(more) >= e_bh(given)


def test_e_bh_by_example() -> None:
    assert e_bh({}) == set()
    assert e_bh({0: 0.99}) == set()
    assert e_bh({0: 1.0}) == {0}
    assert e_bh({0: 1 / 3, 1: 1 / 3, 2: 1 / 3}) == {0, 1, 2}
    assert e_bh({0: 1.0, 1: 0.5, 2: 0.3}) == {0, 1}
    assert e_bh({0: 0.9, 1: 0.4, 2: 0.35}) == {0, 1, 2}
