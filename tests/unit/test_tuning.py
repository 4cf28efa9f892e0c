"""Budgets side by side: which incidents tell the same change, what is counted, what is drawn."""

import io
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streamdrift.changes import Change, Effect, Estimate, Onset, Step, StepKind, Summary
from streamdrift.config import load_settings
from streamdrift.durations import DAY, SECOND
from streamdrift.errors import InputError, SettingsError
from streamdrift.history.extents import Seen
from streamdrift.history.incident_log import Incident, IncidentLog, Member
from streamdrift.incidents import Incidents, IncidentSettings
from streamdrift.incidents.budget import Budget
from streamdrift.incidents.realised import Span
from streamdrift.records import AlertKind, Signal, SignalKind
from streamdrift.tuning.document import document
from streamdrift.tuning.known import Known, read_known, score
from streamdrift.tuning.lines import (
    UNICODE,
    column,
    lag_axis,
    lag_column,
    listed,
    time_axis,
    timeline,
)
from streamdrift.tuning.matching import Changes, Told, changes_told
from streamdrift.tuning.picture import print_results
from streamdrift.tuning.results import ModelResult, allowed, make_result
from streamdrift.tuning.runs import (
    LADDER,
    budgets_set,
    in_order,
    make_runs,
    parse_budgets,
    settings_under,
)
from tests.alerts import NOON, left, make_signal

SMALL, OWN, LARGE = map(Budget.parse, ("1/week", "2/week", "1/day"))
AMOUNT = make_signal(0, "amount")
AGE = make_signal(1, "age")
SILENCE = make_signal(-1, "silence", SignalKind.SILENCE, AlertKind.VOLUME)
SAME = Estimate(0.0, 0.0, 0.0)


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


def incident(
    *members: tuple[str, float, float],
    name: str = "i",
    model: str = "fraud",
    version: str = "3",
    ended: float | None = None,
    silence: bool = False,
) -> Incident:
    """Return an incident of members given by name, earliest and when they were noticed."""
    found = tuple(
        Member(signal, signal, at(earliest), at(changed)) for signal, earliest, changed in members
    )
    return Incident(
        id=name,
        model=model,
        version=version,
        opened_at=found[0].changed_at,
        ended_at=None if ended is None else at(ended),
        resolution=None if ended is None else "returned",
        left=frozenset() if ended is None else frozenset({"returned"}),
        silence=silence,
        severity="warning",
        together=1,
        sentences=MappingProxyType(
            {member.changed_at: f"{member.signal} changed" for member in found}
        ),
        openers=(found[0].signal,),
        members=found,
    )


def result(
    small: Sequence[Incident],
    own: Sequence[Incident],
    large: Sequence[Incident],
    known: Sequence[Known] = (),
) -> ModelResult:
    runs = [(SMALL, False, small, 9e6), (OWN, True, own, 4_234_123.0), (LARGE, False, large, 5e5)]
    return make_result(
        "fraud", Seen(90_000, at(0), at(90_000)), Span(at(10_000), at(90_000)), runs, known
    )


def drawn(results: Sequence[ModelResult], width: int = 80, *, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_results(Console(file=file, width=width), results)
    file.seek(0)
    return file.read()


# --- incidents, from alerts


def changed(seconds: float, signal: Signal, earliest: float | None = None) -> Step:
    onset = None if earliest is None else Onset(at(earliest), at(earliest), {})
    effect = Effect(Estimate(0.5, 0.4, 0.6), Estimate(1.0, 1.0, 1.0), SAME)
    numbers = Summary(float("nan"), {"0.05": 1.0, "0.5": 2.0, "0.95": 3.0})
    change = Change("e_detector", 9.0, 5.0, effect, numbers, numbers, onset, 1.0)
    if signal is SILENCE:
        change = replace(change, effect=None, before=Summary(1.0), after=Summary(60.0))
    version = "" if signal is SILENCE else "3"
    return Step(StepKind.CHANGED, "fraud", version, signal, at(seconds), change)


def logged(*steps: Step) -> tuple[Incident, ...]:
    log = IncidentLog()
    incidents = Incidents(lambda _: IncidentSettings(), lambda _: {})
    for step in steps:
        log.add(incidents.observe([step], step.time))
    log.add(incidents.drain())
    return log.incidents()


def test_an_incident_is_put_together_from_its_alerts() -> None:
    steps = (changed(10, AMOUNT, 4), changed(20, AGE), left(at(50), AGE), left(at(60), AMOUNT))
    (found,) = logged(*steps)
    assert (found.opened_at, found.ended_at, found.resolution) == (at(10), at(60), "returned")
    assert [each[:5] for each in found.members] == [
        Member("amount", "amount", at(4), at(10), at(4))[:5],
        Member("age", "age", at(20), at(20))[:5],
    ]
    assert [each.told["statistic"] for each in found.members] == [9.0, 9.0]
    assert found.openers == ("amount",)
    assert not found.silence
    assert list(found.sentences) == [at(10), at(20)]
    assert found.sentences[at(10)].startswith("amount of fraud/3 changed: its level")
    assert "joining an open incident" in found.sentences[at(20)]


def test_a_signal_that_joins_again_is_another_member() -> None:
    steps = (changed(10, AMOUNT), changed(11, AGE), left(at(20), AGE), changed(40, AGE, 30))
    (found,) = logged(*steps)
    assert [(member.signal, member.changed_at) for member in found.members] == [
        ("amount", at(10)),
        ("age", at(11)),
        ("age", at(40)),
    ]
    assert found.ended_at is None


def test_silence_is_told_apart() -> None:
    (found,) = logged(changed(10, SILENCE))
    assert found.silence


# --- what tells the same change


def test_an_incident_tells_changes_one_after_the_other() -> None:
    whole = incident(("a", 0, 10), ("b", 5, 15), ("c", 12, 18), ("b", 30, 40), ("d", 2, 90))
    told = changes_told(whole)
    assert [(each.told_at, [member.signal for member in each.members]) for each in told] == [
        (at(10), ["a", "b"]),
        (at(18), ["c"]),
        (at(40), ["b"]),
        (at(90), ["d"]),
    ]
    assert [each.opens for each in told] == [True, False, False, False]


def told(*members: tuple[str, float, float], **options: object) -> Told:
    return changes_told(incident(*members, **options))[0]  # type: ignore[arg-type]


def same_change(one: Told, other: Told) -> bool:
    """Tell by definition what `Changes` finds by search."""
    subjects = [
        (each.incident.model, each.incident.version, each.incident.silence) for each in (one, other)
    ]
    return subjects[0] == subjects[1] and any(
        mine.signal == theirs.signal
        and mine.earliest <= 2 * theirs.changed_at - theirs.earliest
        and theirs.earliest <= 2 * mine.changed_at - mine.earliest
        for mine in one.members
        for theirs in other.members
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (told(("a", 0, 20)), True),
        (told(("a", 15, 30)), True),
        (told(("a", 20, 30)), True),
        (told(("a", 20.1, 30)), False),
        (told(("b", 0, 20)), False),
        (told(("b", 0, 20), ("a", 1, 20)), True),
        (told(("a", 0, 20), version="4"), False),
        (told(("a", 0, 20), model="loans"), False),
        (told(("a", 0, 20), silence=True), False),
    ],
)
def test_the_same_change_has_a_signal_in_common_at_one_time(other: Told, same: bool) -> None:
    one = told(("a", 0, 10))
    assert same_change(one, other) is same
    assert same_change(other, one) is same


def members() -> st.SearchStrategy[tuple[str, int, int]]:
    spans = st.tuples(st.integers(0, 60), st.integers(0, 30))
    return st.builds(
        lambda name, span: (name, span[0], span[0] + span[1]), st.sampled_from("abc"), spans
    )


def whole_incidents() -> st.SearchStrategy[Incident]:
    return st.builds(
        lambda given, version: incident(*sorted(given, key=lambda each: each[2]), version=version),
        st.lists(members(), min_size=1, max_size=5),
        st.sampled_from("34"),
    )


@given(whole_incidents(), st.lists(whole_incidents(), max_size=6))
def test_matching_is_symmetric_and_the_search_finds_the_first(
    one: Incident, others: list[Incident]
) -> None:
    changes = Changes(replace(other, id=str(place)) for place, other in enumerate(others))
    for change in changes_told(one):
        same = [other for other in changes.all if same_change(change, other)]
        assert same == [other for other in changes.all if same_change(other, change)]
        assert same_change(change, change)
        found = changes.first_same(change)
        assert (found is None) == (not same)
        if found is not None:
            assert found in same
            assert found.told_at == min(other.told_at for other in same)


@given(whole_incidents())
def test_every_member_is_in_one_change_of_its_incident(whole: Incident) -> None:
    parts = changes_told(whole)
    assert sorted(member for part in parts for member in part.members) == sorted(whole.members)
    assert [part.told_at for part in parts] == sorted(part.told_at for part in parts)
    assert all(part.told_at in whole.sentences for part in parts)


# --- what comes of the budgets


def three() -> ModelResult:
    """Return what budgets have of a change that all find, and of one the largest has alone."""
    return result(
        [incident(("amount", 40_000, 40_020), name="s")],
        [incident(("amount", 40_000, 40_014), name="o", ended=70_000)],
        [
            incident(("age", 20_000, 20_100), name="x", ended=30_000),
            incident(("amount", 40_000, 40_010), name="l"),
        ],
    )


def test_delays_are_against_the_quickest_and_against_the_largest() -> None:
    (shared,) = three().shared
    assert [each and each.incident for each in shared.sightings] == ["s", "o", "l"]
    assert shared.delays == (10 * SECOND, 4 * SECOND, 0)
    assert shared.lags == (10 * SECOND, 4 * SECOND, 0)
    assert three().lags == (10 * SECOND, 4 * SECOND, 0)


def test_a_larger_budget_may_be_later() -> None:
    found = result(
        [incident(("a", 0, 10))], [incident(("a", 0, 15))], [incident(("a", 0, 18))]
    ).shared[0]
    assert found.delays == (0, 5 * SECOND, 8 * SECOND)
    assert found.lags == (-8 * SECOND, -3 * SECOND, 0)


def test_what_a_smaller_budget_misses_is_in_no_median() -> None:
    found = result([], [incident(("a", 0, 15))], [incident(("a", 0, 12))])
    assert found.shared[0].delays == (None, 3 * SECOND, 0)
    assert found.shared[0].lags is None
    assert found.lags == (None, None, None)


def test_what_the_budget_in_the_settings_tells_nothing_of_is_counted() -> None:
    assert three().further == (0, 0, 1)


def test_what_joins_an_open_incident_is_told_too() -> None:
    own = incident(("a", 0, 10), ("b", 500, 510))
    large = incident(("b", 500, 505))
    found = result([], [own], [large])
    assert [each.change.opens for each in found.shared] == [True, False]
    sighting = found.shared[1].sightings[2]
    assert sighting is not None
    assert sighting.opens
    assert found.further == (0, 0, 0)


def test_silence_is_in_no_budget() -> None:
    quiet = incident(("silence", 100, 100), version="", silence=True)
    found = result([quiet], [quiet], [quiet])
    assert [outcome.incidents for outcome in found.outcomes] == [(), (), ()]
    assert found.silences == (quiet,)
    assert found.shared == ()


def test_signals_that_open_are_counted_once() -> None:
    own = [incident(("a", 0, 10), ("b", 5, 12)), incident(("a", 900, 910), name="j")]
    assert result([], own, []).outcomes[1].openers == 1


def test_what_a_budget_allows_follows_from_the_time_watched() -> None:
    assert allowed(Budget.parse("2/week"), Span(at(0), at(0) + 7 * DAY)) == 2.0


# --- budgets


def test_budgets_are_in_order_and_none_is_there_twice() -> None:
    assert parse_budgets("1/day, 1/week,7/week") == (SMALL, LARGE)
    assert in_order(LADDER) == LADDER


@pytest.mark.parametrize("text", ["", "often", "1/week,,1/day", "0/week"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--budgets"):
        parse_budgets(text)


def test_a_budget_for_every_model_goes_before_those_of_the_settings() -> None:
    settings = load_settings(
        None, ["models.fraud.alert_budget=5/day", "models.fraud.ignore=[x]"], {}
    )
    assert budgets_set(settings) == (OWN, Budget.parse("5/day"))
    under = settings_under(settings, SMALL)
    assert (under("fraud").alert_budget, under("fraud").ignore) == (SMALL, ("x",))
    assert under("other").alert_budget == SMALL
    assert settings.model("fraud").alert_budget == Budget.parse("5/day")


def test_a_budget_that_all_models_have_is_run_once() -> None:
    one = load_settings(None, [], {})
    assert [run.budget for run in make_runs(one, (SMALL, OWN), timed=True)] == [SMALL]
    several = load_settings(None, ["models.fraud.alert_budget=5/day"], {})
    assert [run.budget for run in make_runs(several, (SMALL, OWN), timed=True)] == [SMALL, OWN]


# --- known changes

CSV = "model,from,until,signal\nfraud,2026-11-21T12:00:00Z,1795262500,amount\n"


def test_known_changes_are_read_from_both_forms() -> None:
    line = orjson.dumps(
        {"model": "fraud", "from": "2026-11-21T12:00:00Z", "until": 1795262500, "signal": "amount"}
    ).decode()
    expected = (Known("fraud", at(0), at(100), "amount"),)
    assert read_known(CSV, "k.csv") == expected
    assert read_known(f"\n{line}\n\n", "k.jsonl") == expected
    assert read_known("model,from,until\nfraud,1795262400,1795262400", "k")[0].signal is None
    assert read_known(CSV.replace("amount", ""), "k")[0].signal is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "k names no known change"),
        ("model,from,until\n", "k names no known change"),
        ("model,from,until\nfraud,noon,1795262500\n", "line 2: 'noon' is no time for 'from'"),
        ("model,from\nfraud,1795262500\n", "line 2: None is no time for 'until'"),
        ("model,from,until\nfraud,1795262500\n", "line 2 has not as many values"),
        ("model,from,until\nfraud,1795262500,1795262500,x\n", "line 2 has not as many values"),
        ('model,from,until\n"fraud,1,2\n', "is no CSV"),
        ("model,from,until,signals\nfraud,1,2,x\n", "line 2 has signals, which is unknown"),
        ("model,from,until\nfraud,1795262500,1795262400\n", "line 2 ends before it begins"),
        ("from,until\n1795262400,1795262500\n", "line 2 has no model"),
        ('{"model": 3, "from": 1795262400, "until": 1795262400}', "line 1 has no model"),
        ('{"model": "a", "from": 1, "until": 2, "signal": 7}', "line 1 has no signal"),
        ('{"model": ', "line 1 is no JSON: "),
        ('{"model": "a", "from": 1, "until": 2}\n3\n', "line 2 is no JSON object"),
    ],
)
def test_what_is_no_known_change_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_known(text, "k")
    assert "JSON Lines" in (caught.value.hint or "")


def test_known_changes_are_found_or_missed_and_the_rest_is_false() -> None:
    known = [
        Known("fraud", at(0), at(100)),
        Known("fraud", at(200), at(300), "b"),
        Known("fraud", at(400), at(500)),
        Known("fraud", at(600), at(700)),
    ]
    incidents = [
        incident(("a", 0, 30), ("c", 410, 440), name="found, and another joins it"),
        incident(("a", 200, 230), name="of another signal", version="4"),
        incident(("a", 150, 160), name="between", version="5"),
        incident(("silence", 620, 640), name="silence", version="", silence=True),
    ]
    found = score(known, incidents)
    assert found.delays == (30 * SECOND, None, 40 * SECOND, 40 * SECOND)
    assert (found.found, found.missed, found.false) == (3, 1, 2)
    assert found.median_delay == 40 * SECOND


def test_silence_is_never_false() -> None:
    quiet = incident(("silence", 620, 640), version="", silence=True)
    assert score([Known("fraud", at(0), at(1))], [quiet]).false == 0


def test_without_a_find_there_is_no_median_delay() -> None:
    assert score([Known("fraud", at(0), at(1))], []).median_delay is None


def test_known_changes_count_where_the_model_was_watched() -> None:
    known = [
        Known("fraud", at(0), at(9_999)),
        Known("other", at(20_000), at(30_000)),
        Known("fraud", at(39_990), at(41_000)),
    ]
    own = [incident(("amount", 40_000, 40_014))]
    found = result([], own, own, known)
    assert found.known == (known[2],)
    assert [each.found for each in found.scores] == [0, 1, 1]


# --- what is drawn


def test_a_timeline_has_what_was_learned_open_and_told() -> None:
    small, own, large = timeline(three(), 18, UNICODE)
    assert small.text == "·───────1━━━━━━━━━"
    assert own.text == "·───────1━━━━━────"
    assert large.text == "·───●━──1━━━━━━━━━"
    assert (set(own.marks), set(large.marks)) == ({8}, {4, 8})


def test_what_falls_on_one_place_of_a_timeline_is_several() -> None:
    own = [incident(("a", 40_000, 40_001), ("b", 41_000, 41_001))]
    assert timeline(result([], own, []), 18, UNICODE)[1].text == "·───────+━━━━━━━━━"


def test_what_one_budget_told_at_once_and_another_apart_is_several() -> None:
    own = [incident(("a", 40_000, 40_100)), incident(("b", 40_000, 40_900), name="j")]
    large = [incident(("a", 39_900, 40_300), ("b", 39_900, 40_350))]
    assert timeline(result([], own, large), 18, UNICODE)[2].text == "·───────+━━━━━━━━━"


def test_every_time_has_a_place_on_a_line() -> None:
    assert [column(time, 10, 19, 5) for time in (0, 10, 11, 12, 19, 99)] == [0, 0, 0, 1, 4, 4]
    assert column(7, 7, 7, 5) == 0


@given(st.integers(0, 4_000_000_000), st.integers(0, 10**10), st.integers(48, 300))
def test_an_axis_of_times_fits_and_has_round_times(first: int, span: int, width: int) -> None:
    axis = time_axis(first * SECOND, (first + span) * SECOND, width)
    assert len(axis) <= width
    assert axis.count("╵") <= 1 + width // len("╵00:00  ")
    if span < 86_400:
        assert len(set(axis.split())) == axis.count("╵")


def test_an_axis_of_times_names_where_they_are() -> None:
    axis = time_axis(at(0), at(4 * 3_600), 60)
    assert [axis.index(text) for text in ("╵12:00", "╵14:00", "╵16:00")[:2]] == [0, 29]
    assert "╵11-21" in time_axis(at(-86_400), at(86_400), 60)


def test_short_and_long_delays_can_be_told_apart() -> None:
    places = [lag_column(lag * SECOND, 600 * SECOND, 60) for lag in (-5, 0, 10, 60, 600, 700)]
    assert places[0] == places[1] == 0
    assert places[1] < places[2] < places[3] < places[4] == places[5] == 59
    assert lag_axis(600 * SECOND, 60).startswith("╵0 ")
    assert "╵60 s" in lag_axis(600 * SECOND, 60)


def many(count: int) -> ModelResult:
    own = [incident(("a", 20_000 + 500 * n, 20_010 + 500 * n), name=str(n)) for n in range(count)]
    joined = incident(("b", 12_000, 12_010), ("c", 12_500, 12_510), name="b", version="9")
    return result(own[:1], [joined, *own], own)


def test_what_opens_incidents_is_listed_before_what_joins_them() -> None:
    names = listed(many(30).shared)
    assert len(names) == 21
    assert all(shared.change.opens for shared in names.values())
    assert list(names)[:10] == list("123456789a")
    assert [each.change.opens for each in listed(many(3).shared).values()][:2] == [True, False]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_no_line_is_longer_than_the_terminal(width: int, count: int) -> None:
    known = [Known("fraud", at(0), at(90_000))]
    text = drawn([many(count), replace(three(), known=tuple(known))], width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_the_picture_tells_who_found_what_how_much_later() -> None:
    text = drawn([three()])
    lines = text.splitlines()
    assert "90,000 events from 2026-11-21 12:00:00 to 2026-11-22 13:00:00 UTC" in text
    assert "  1/week     0.13          1       0        1          9M  +10 s  " in lines
    assert any(line.startswith("▸ 2/week ") and "4.23M   +4 s" in line for line in lines)
    assert "1 2026-11-21 23:06:54 amount changed" in text
    assert "1/day first, 2/week +4 s, 1/week +10 s" in text
    assert "opened by what the budget in the settings does not tell: 1/day 1" in text
    assert "how much later than 1/day, of what all budgets found" in text
    assert "History cannot tell which incidents were false" in " ".join(text.split())


def test_the_picture_says_who_missed_it_and_who_had_it_in_an_open_incident() -> None:
    large = incident(("b", 11_000, 11_010), ("a", 20_000, 20_010))
    text = drawn([result([], [incident(("a", 20_000, 20_015))], [large])])
    told = " ".join(text.split())
    assert "1/day first (in an open incident), 2/week +5 s; not by 1/week" in told
    assert "how much later" not in text


def test_known_changes_are_counted_in_the_picture() -> None:
    known = [Known("fraud", at(39_990), at(41_000))]
    own = [incident(("amount", 40_000, 40_014))]
    text = drawn([result([], own, own, known)])
    assert "1 known change in the time watched" in text
    assert "  1/week      0       1      0         \n" in text
    assert "▸ 2/week      1       0      0   24 s  \n" in text
    assert "History cannot tell" not in text


def test_silence_is_said_in_the_picture() -> None:
    quiet = incident(("silence", 20_000, 20_000), version="", silence=True)
    assert "1 incident by silence, at every budget" in drawn([result([quiet], [quiet], [quiet])])


def test_a_model_of_which_nothing_is_left_has_no_run_length() -> None:
    runs = [(OWN, True, (), None)]
    found = make_result("fraud", Seen(10, at(0), at(9)), Span(at(9), at(9)), runs)
    assert "▸ 2/week        0          0       0        0           ?" in drawn([found])


def test_models_with_incidents_come_first_and_too_many_are_counted() -> None:
    quiet = [replace(result([], [], []), model=f"quiet-{n}") for n in range(11)]
    text = drawn([*quiet, three()])
    assert text.index("─ fraud ─") < text.index("─ quiet-0 ─")
    assert "2 further models, 0 of them with incidents: --json FILE has all" in text
    assert "quiet-9" not in text


def test_names_are_shown_as_they_are() -> None:
    assert "─ a[/b]:x: ─" in drawn([replace(three(), model="a[/b]:x:")])


def test_without_a_watched_model_there_is_nothing_to_compare() -> None:
    assert drawn([]) == "no model was watched: there is nothing to compare\n"


def test_a_terminal_without_such_characters_gets_others() -> None:
    text = drawn([three()], encoding="ascii")
    assert "> 2/week" in text
    assert text.isascii()
    assert "*" in text


def test_the_document_has_everything() -> None:
    known = [Known("fraud", at(39_990), at(41_000), "amount")]
    own = [incident(("amount", 40_000, 40_014), name="o", ended=50_000)]
    found = result([], own, [incident(("amount", 40_000, 40_010), name="l")], known)
    told = orjson.loads(document("h.jsonl", [found], ["a line"]))
    assert (told["history"], told["summary"]) == ("h.jsonl", ["a line"])
    (model,) = told["models"]
    assert (model["model"], model["events"]) == ("fraud", 90_000)
    small, mine, large = model["budgets"]
    assert [each["opened"] for each in (small, mine, large)] == [0, 1, 1]
    assert [each["in_settings"] for each in (small, mine, large)] == [False, True, False]
    assert (mine["known_found"], small["known_missed"], large["false"]) == (1, 1, 0)
    assert mine["median_delay_seconds"] == 24.0
    assert mine["incidents"][0]["summaries"][0]["text"] == "amount changed"
    assert mine["incidents"][0]["ended_at"] == "2026-11-22T01:53:20.000000Z"
    (compared,) = model["compared"]
    assert compared["missed"] == ["1/week"]
    assert [each["delay_seconds"] for each in compared["found"]] == [4.0, 0.0]
    assert model["known"][0]["delay_seconds"] == {"1/week": None, "2/week": 24.0, "1/day": 20.0}
