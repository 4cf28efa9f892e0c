"""What alerts say to people: one phrase for each kind of signal."""

import math

import pytest

from streamdrift.changes import REST, Effect, Estimate, Onset, StepKind, Summary
from streamdrift.incidents.sentences import (
    describe,
    opened_sentence,
    resolved_sentence,
    updated_sentence,
)
from streamdrift.records import AlertKind, ColumnKey, Group, Signal, SignalKind
from tests.alerts import NOON, SECOND, changed, make_change, make_effect, make_signal


def test_the_opening_names_what_how_and_since_when() -> None:
    onset = Onset(NOON + 3 * SECOND, NOON + 5 * SECOND, {})
    step = changed(NOON, change=make_change(1.9, onset=onset))
    assert opened_sentence([step]) == (
        "amount of fraud/3 changed: median 12.5 -> 40.1 (effect +1.9 sd), "
        "began between 2026-11-21 12:00:03 and 12:00:05 UTC"
    )


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (1.4, "rose: 7.2 -> 12 an hour (effect +1.4 sd)"),
        (-1.4, "fell: 7.2 -> 12 an hour (effect -1.4 sd against what was expected then)"),
    ],
)
def test_an_event_rate_rose_or_fell_against_its_rhythm(shift: float, words: str) -> None:
    signal = make_signal(-2, "event rate", SignalKind.EVENT_RATE)
    change = make_change(shift, Summary(0.002), Summary(12 / 3_600))
    assert opened_sentence([changed(NOON, signal, change, version="")]).endswith(words)


def test_the_opening_counts_what_moved_with_it() -> None:
    names = ("amount", "age", "score", "country", "city")
    steps = [changed(NOON, make_signal(i, name)) for i, name in enumerate(names)]
    assert opened_sentence(steps[:2]).endswith("; 1 further signal moved with it: age")
    assert opened_sentence(steps[:4]).endswith(
        "; 3 further signals moved with it: age, score and country"
    )
    assert opened_sentence(steps).endswith(
        "; 4 further signals moved with it: age, score, country and 1 more"
    )


def test_an_onset_within_a_second_or_over_midnight() -> None:
    short = changed(NOON, change=make_change(onset=Onset(NOON, NOON + 9, {})))
    assert opened_sentence([short]).endswith(", began at 2026-11-21 12:00:00 UTC")
    late = NOON + 12 * 3600 * SECOND
    long = changed(NOON, change=make_change(onset=Onset(late - SECOND, late, {})))
    assert opened_sentence([long]).endswith(
        ", began between 2026-11-21 23:59:59 and 2026-11-22 00:00:00 UTC"
    )


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (make_effect(1.26), "median 12.5 -> 40.1 (effect +1.3 sd)"),
        (
            make_effect(-1.26),
            "median 12.5 -> 40.1 (effect -1.3 sd against what was expected then)",
        ),
        (make_effect(0.1, 2.04), "middle 90 % 1 to 40 -> 2 to 90 (spread x2)"),
        (make_effect(0.1, 0.5), "middle 90 % 1 to 40 -> 2 to 90 (spread x0.5)"),
        (make_effect(0.1, 1.1, 0.4), "middle 90 % 1 to 40 -> 2 to 90 (total variation 40 %)"),
        (make_effect(3.0, 2.0, 0.8), "median 12.5 -> 40.1 (effect +3.0 sd)"),
    ],
    ids=["level", "level against a rhythm", "wider", "narrower", "shape", "level before spread"],
)
def test_the_opening_says_what_of_a_distribution_changed_most(effect: Effect, words: str) -> None:
    step = changed(NOON, change=make_change(effect))
    assert opened_sentence([step]) == f"amount of fraud/3 changed: {words}"


@pytest.mark.parametrize(
    ("shift", "spread", "words"),
    [
        (Estimate(3.4, 1.7, math.inf), Estimate(1, 0, math.inf), "effect +3.4 sd or beyond"),
        (Estimate(-3.4, -math.inf, -1.7), Estimate(1, 0, math.inf), "effect -3.4 sd or beyond"),
        (Estimate(0, -math.inf, math.inf), Estimate(7, 1, math.inf), "spread x7 or more"),
        (Estimate(3.4, -math.inf, 6), Estimate(1, 0, 2), "effect +3.4 sd"),
    ],
)
def test_an_effect_that_leaves_the_reference_behind_is_at_least_that_large(
    shift: Estimate, spread: Estimate, words: str
) -> None:
    step = changed(NOON, change=make_change(Effect(shift, spread, Estimate(0.9, 0, 1))))
    assert f"({words}" in opened_sentence([step])


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (make_effect(1.0), "its level is not what it was (effect +1.0 sd)"),
        (make_effect(0.0, 3.0), "its spread is not what it was (spread x3)"),
        (make_effect(0.0, 1.0, 0.3), "its shape is not what it was (total variation 30 %)"),
    ],
)
def test_what_may_not_be_told_in_values_is_told_by_its_effect(effect: Effect, words: str) -> None:
    """Of a private column there are no values, of one with a rhythm none to compare with."""
    nothing = Summary(math.nan)
    after = Summary(math.nan, {"0.05": 2.0, "0.5": 40.1, "0.95": 90.0})
    for change in (make_change(effect, nothing, nothing), make_change(effect, nothing, after)):
        assert opened_sentence([changed(NOON, change=change)]).endswith(f" changed: {words}")


@pytest.mark.parametrize("effect", [make_effect(0.9), make_effect(0.1, 2.0)])
def test_where_quantiles_stay_the_mean_says_what_moved(effect: Effect) -> None:
    """As of a flag that is 0 or 1."""
    quantiles = {"0.05": 0.0, "0.5": 0.0, "0.95": 1.0}
    means = Summary(0.18, quantiles), Summary(0.29, quantiles)
    step = changed(NOON, change=make_change(effect, *means))
    assert " changed: mean 0.18 -> 0.29 (" in opened_sentence([step])
    unknown = make_change(effect, *(Summary(math.nan, quantiles),) * 2)
    assert " is not what it was (" in opened_sentence([changed(NOON, change=unknown)])


def test_an_update() -> None:
    steps = [changed(NOON), changed(NOON, make_signal(1, "age"))]
    assert updated_sentence(steps, "critical") == (
        "amount of fraud/3 changed: median 12.5 -> 40.1 (effect +0.8 sd), joining an open "
        "incident; 1 further signal joined with it: age; severity rose to critical"
    )
    assert updated_sentence(steps[:1], None).endswith("joining an open incident")


def test_a_resolution() -> None:
    steps = [changed(NOON), changed(NOON, make_signal(1, "age"))]
    assert resolved_sentence({StepKind.RETURNED: steps}) == (
        "amount and age of fraud/3 are back at the reference"
    )
    assert resolved_sentence({StepKind.ACCEPTED: steps[:1]}) == (
        "amount of fraud/3 is accepted as the new normal"
    )


def test_a_resolution_says_of_each_signal_how_it_left() -> None:
    steps = [changed(NOON, make_signal(i, f"x{i}")) for i in range(9)]
    assert resolved_sentence({StepKind.RETURNED: steps[:1], StepKind.ACCEPTED: steps[1:2]}) == (
        "x0 of fraud/3 is back at the reference; x1 is accepted as the new normal"
    )
    assert resolved_sentence({StepKind.ACCEPTED: steps[:5], StepKind.RESOLVED: steps[5:]}) == (
        "x0, x1, x2 and 2 more of fraud/3 are accepted as the new normal; "
        "x5, x6, x7 and 1 more are said to be mended, and watched again"
    )


def test_silence() -> None:
    signal = make_signal(0, "silence", SignalKind.SILENCE)
    change = make_change(None, Summary(2.0), Summary(60.0), Onset(NOON, NOON, {}))
    step = changed(NOON, signal, change, version="")
    assert opened_sentence([step]) == (
        "fraud has sent no events since 2026-11-21 12:00:00 UTC: longest usual gap 2 s, "
        "now over 60 s"
    )
    assert resolved_sentence({StepKind.RETURNED: [step]}) == "fraud sends events again"
    rate = changed(NOON, make_signal(1, "event rate"), version="")
    assert resolved_sentence({StepKind.RETURNED: [step], StepKind.ACCEPTED: [rate]}) == (
        "fraud sends events again; event rate is accepted as the new normal"
    )


NOTHING = (Summary(math.nan), Summary(math.nan))
PAUSES = (Summary(0.5), Summary(0.7))
RATES = (Summary(0.012), Summary(0.14))
QUANTILES = (
    Summary(math.nan, {"0.05": 1.0, "0.5": 12.0, "0.95": 20.0}),
    Summary(math.nan, {"0.05": -3.0, "0.5": 12345678.0, "0.95": 1e30}),
)
SHARES = (
    Summary(0.5, shares={"DE": 0.6, "FR": 0.3, "IT": 0.1, "ES": 0.0}),
    Summary(0.8, shares={"DE": 0.2, "XX": 0.39, "FR": 0.31, "IT": 0.09}),
)

RARE = (Summary(0.6, shares={"DE": 0.4, REST: 0.6}), Summary(0.0, shares={"DE": 1.0, REST: 0.0}))


@pytest.mark.parametrize(
    ("kind", "summaries", "phrase"),
    [
        (SignalKind.VALUE, QUANTILES, "median 12 -> 12345678"),
        (SignalKind.VALUE, NOTHING, "its level is not what it was"),
        (SignalKind.MISSING, RATES, "missing 1.2 % -> 14 %"),
        (SignalKind.TYPE_BREAK, RATES, "values of another type 1.2 % -> 14 %"),
        (SignalKind.CATEGORY, SHARES, "'DE' 60 % -> 20 %, 'XX' 0 % -> 39 %, 'FR' 30 % -> 31 %"),
        (SignalKind.CATEGORY, NOTHING, "the shares of its categories are not what they were"),
        (SignalKind.UNSEEN, RATES, "categories new to it 1.2 % -> 14 %"),
        (SignalKind.UNSEEN, SHARES, "categories new to it 50 % -> 80 % (such as 'XX')"),
        (SignalKind.UNSEEN, RARE, "categories rare or new to it 60 % -> 0 %"),
        (SignalKind.LENGTH, QUANTILES, "median length 12 -> 12345678"),
        (SignalKind.EMPTY, RATES, "empty 1.2 % -> 14 %"),
        (SignalKind.NORM, QUANTILES, "median norm 12 -> 12345678"),
        (
            SignalKind.DISTANCE,
            QUANTILES,
            "median distance from the reference's centre 12 -> 12345678",
        ),
        (SignalKind.RATE, RATES, "true 1.2 % -> 14 %"),
        (SignalKind.NULL_OUTPUT, RATES, "null outputs 1.2 % -> 14 %"),
        (SignalKind.FAILED, RATES, "failed calls 1.2 % -> 14 %"),
        (SignalKind.SILENCE, PAUSES, "longest usual gap 0.5 s, now over 0.7 s"),
    ],
)
def test_each_kind_has_its_phrase(
    kind: SignalKind, summaries: tuple[Summary, Summary], phrase: str
) -> None:
    assert describe(make_signal(kind=kind), make_change(1, *summaries)) == phrase


@pytest.mark.parametrize("kind", SignalKind)
def test_no_kind_is_without_a_phrase(kind: SignalKind) -> None:
    nothing = Summary(float("nan"))
    assert describe(make_signal(kind=kind), make_change(1, nothing, nothing))


def test_the_subject_is_the_column() -> None:
    def subject(kind: SignalKind, **options: str) -> str:
        step = changed(NOON, make_signal(0, "age", kind, **options), make_change())  # type: ignore[arg-type]
        return opened_sentence([step]).partition(" changed")[0]

    assert subject(SignalKind.MISSING) == "age of fraud/3"
    assert subject(SignalKind.LENGTH) == "age of fraud/3"
    assert subject(SignalKind.VALUE, segment="country=DE") == "age of fraud/3 where country=DE"


def test_null_outputs_are_the_versions() -> None:
    signal = Signal(
        0,
        "null output",
        ColumnKey(Group.OUTPUT, "null"),
        SignalKind.NULL_OUTPUT,
        AlertKind.DATA_QUALITY,
    )
    change = make_change(2.0, *RATES)
    assert opened_sentence([changed(NOON, signal, change)]) == (
        "fraud/3 changed: null outputs 1.2 % -> 14 %"
    )


def test_a_long_category_is_cut() -> None:
    after = Summary(0.5, shares={"x" * 100: 1.0})
    phrase = describe(make_signal(kind=SignalKind.CATEGORY), make_change(1, Summary(0.5), after))
    assert phrase == f"'{'x' * 39}…' 0 % -> 100 %"
