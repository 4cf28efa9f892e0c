"""What the demo shows: nothing cut that matters, rows that stay put, each sentence once."""

import io

from rich.console import Console

from streamdrift.demo.injections import DELIVERY, FRAUD, schedule
from streamdrift.demo.scorer import Published, Score, Verdict
from streamdrift.demo.screen import Picture, draw, plain_line, print_result, shown_readings
from streamdrift.readings import SignalReading
from streamdrift.records import AlertKind, ColumnKey, Group, Signal, SignalKind, WarmUp
from streamdrift.times import rfc3339

_EPOCH = 1_795_000_000_000_000
_KINDS = (SignalKind.VALUE, SignalKind.MISSING, SignalKind.TYPE_BREAK)


def _reading(
    ordinal: int, statistic: float, model: str = FRAUD, *, changed: bool = False
) -> SignalReading:
    """Return the reading of one of three signals of a column of 12 letters."""
    name, kind = f"account_da{ordinal // 3:02}", _KINDS[ordinal % 3]
    key = ColumnKey(Group.FEATURE, name)
    shown = f"{name} ({kind.value.replace('_', ' ')})"
    signal = Signal(ordinal, shown, key, kind, AlertKind.DATA_DRIFT)
    return SignalReading(model, "1", signal, "adwin", statistic, 1.0, changed)


def _alert(name: str, seconds: float, kind: str = "opened") -> Published:
    time = _EPOCH + int(seconds * 1e6)
    event = {
        "id": f"{name}-{kind}",
        "type": f"io.streamdrift.incident.{kind}.v1",
        "subject": "fraud/1",
        "time": rfc3339(time),
        "data": {"incident": name, "summary": f"{name} was {kind}"},
    }
    return Published(time, event)


def _drawn(picture: Picture, width: int = 120, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(draw(picture, width, height), height=height)
    return console.export_text()


def test_rows_stay_put_when_strengths_change() -> None:
    first = [_reading(ordinal, 0.1 * ordinal) for ordinal in range(9)]
    second = [_reading(ordinal, 0.9 - 0.1 * ordinal) for ordinal in range(9)]
    for readings in (first, second):
        shown = shown_readings(readings, FRAUD, 9)
        assert [reading.signal.ordinal for reading in shown] == list(range(9))
    folded = [shown_readings(readings, FRAUD, 8) for readings in (first, second)]
    assert [reading.signal.ordinal for reading in folded[0]] == [2, 5, 8]
    assert [reading.signal.ordinal for reading in folded[1]] == [0, 3, 6]


def test_what_changed_is_shown_before_all_else() -> None:
    readings = [_reading(ordinal, 0.5) for ordinal in range(0, 30, 3)]
    readings.append(_reading(28, 0.0, changed=True))
    shown = shown_readings(readings, FRAUD, 3)
    assert shown[-1].signal.ordinal == 28
    assert shown_readings(readings, DELIVERY, 3) == []


def test_strongest_detector_speaks_for_a_signal() -> None:
    (shown,) = shown_readings([_reading(1, 0.2), _reading(1, 0.7), _reading(1, 0.3)], FRAUD, 3)
    assert shown.statistic == 0.7


def test_picture_shows_names_and_false_alarms_whole() -> None:
    picture = Picture(
        seconds=12.0,
        length=60.0,
        events=1_234_567,
        events_per_second=98_765.0,
        readings=[_reading(2, 0.0, changed=True), _reading(4, 0.42)],
        warm_ups=[WarmUp(DELIVERY, "1", 1_500, 4_000, complete=False)],
        verdicts=[Verdict(injection, None, None) for injection in schedule(60.0)],
        false_alarms=1,
    )
    text = _drawn(picture)
    assert "account_da00 (type break)" in text
    assert "42%" in text
    assert "learning: 1,500 of 4,000 events" in text
    assert "gradual mean shift in delivery-time" in text
    assert "…" not in text
    for width, height in ((120, 40), (80, 24)):
        assert " 1 false alarm " in _drawn(picture, width, height)


def test_injection_is_in_effect_then_recovering_then_missed() -> None:
    injection = schedule(60.0)[0]
    words = [
        (injection.begin - 1, "to come"),
        (injection.end - 0.1, "in effect"),
        (injection.over - 0.1, "recovering"),
        (injection.over + 0.1, "missed"),
    ]
    for seconds, word in words:
        picture = Picture(seconds, 60.0, verdicts=[Verdict(injection, None, None)])
        assert word in _drawn(picture)


def test_each_sentence_is_shown_once_and_open_incidents_come_first() -> None:
    alerts = [_alert("a", 10), _alert("b", 12), _alert("a", 14, "resolved")]
    picture = Picture(15.0, 60.0, _EPOCH, alerts=alerts, open_incidents={"b": alerts[1]})
    text = _drawn(picture)
    assert "1 open incident, then earlier alerts" in text
    places = [text.index(each) for each in ("b was opened", "a was resolved", "a was opened")]
    assert places == sorted(places)
    assert text.count("b was opened") == 1
    assert "12 s  ● open" in text


def _closing(score: Score, delays: list[int | None]) -> str:
    console = Console(file=io.StringIO(), width=100, record=True)
    print_result(console, score, delays, 12_345)
    return console.export_text()


def test_closing_table_tells_delay_and_sentence() -> None:
    first, second = schedule(60.0)[:2]
    score = Score((Verdict(first, _alert("a", 9), 1.25), Verdict(second, None, None)), ())
    text = _closing(score, [1_234, None])
    assert "1.2 s" in text
    assert "1,234 events" in text
    assert "a was opened" in text
    assert "missed" in text
    assert "1 of 2 injections found, 0 false alarms, 12,345 events" in text


def test_closing_lines_without_injections() -> None:
    text = _closing(Score((), (_alert("a", 9),)), [])
    assert "nothing was injected, 1 false alarm, 12,345 events" in text
    assert "false alarm: a was opened" in text


def test_what_others_write_to_the_topic_is_no_command_to_the_terminal() -> None:
    line = plain_line(_alert("x\x1b[31m", 1.0), 0)
    assert "\x1b" not in line
