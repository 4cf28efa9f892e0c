from typing import Any

import pytest

from streamdrift.demo.injections import Injection, Touched
from streamdrift.demo.scorer import Published, score
from streamdrift.records import SignalKind
from streamdrift.times import rfc3339

_EPOCH = 1_795_000_000_000_000
_AMOUNT = Touched("amount", SignalKind.VALUE)
_RATE = Touched("amount", SignalKind.TYPE_BREAK)
_INJECTION = Injection("shift", "fraud", (_AMOUNT, _RATE), begin=10.0, end=14.0, over=20.0)


def _alert(
    at: float,
    *signals: Touched,
    kind: str = "opened",
    model: str = "fraud",
    after: float = 1.0,
) -> Published:
    """Return an alert of the time `at`, published `after` seconds later."""
    data: dict[str, Any] = {
        "signals": [
            {"name": f"{column} ({kind})", "column": column, "kind": kind.value}
            for column, kind in signals
        ]
    }
    if kind == "updated":
        data["joined"] = [data["signals"][-1]["name"]]
    time = _EPOCH + int(at * 1e6)
    event = {
        "type": f"io.streamdrift.incident.{kind}.v1",
        "subject": f"{model}/1",
        "time": rfc3339(time),
        "data": data,
    }
    return Published(time + int(after * 1e6), event)


def test_alert_that_names_the_first_signal_in_time_is_a_find() -> None:
    result = score([_INJECTION], [_alert(11.0, _AMOUNT)], _EPOCH)
    (verdict,) = result.verdicts
    assert verdict.found
    assert verdict.delay_seconds == pytest.approx(2.0)
    assert result.perfect


@pytest.mark.parametrize(
    "alert",
    [
        _alert(11.0, _RATE),
        _alert(9.0, _AMOUNT),
        _alert(21.0, _AMOUNT),
        _alert(11.0, _AMOUNT, after=9.0),
        _alert(11.0, _AMOUNT, model="other"),
        _alert(11.0, _AMOUNT, kind="resolved"),
        _alert(11.0, Touched("amount", SignalKind.MISSING)),
    ],
    ids=[
        "another signal",
        "too early",
        "too late",
        "published too late",
        "another model",
        "a resolution",
        "a kind",
    ],
)
def test_other_alerts_find_nothing(alert: Published) -> None:
    assert not score([_INJECTION], [alert], _EPOCH).verdicts[0].found


@pytest.mark.parametrize(
    ("alert", "false"),
    [
        (_alert(11.0, _AMOUNT, _RATE), False),
        (_alert(16.0, _RATE), False),
        (_alert(11.0, _AMOUNT, after=50.0), False),
        (_alert(9.0, _AMOUNT), True),
        (_alert(11.0, _AMOUNT, Touched("age", SignalKind.VALUE)), True),
        (_alert(11.0, Touched("age", SignalKind.VALUE), _RATE, kind="updated"), False),
        (_alert(11.0, _AMOUNT, Touched("age", SignalKind.VALUE), kind="updated"), True),
        (_alert(9.0, _AMOUNT, kind="resolved"), False),
    ],
)
def test_signals_that_nothing_explains_are_false(alert: Published, false: bool) -> None:
    assert bool(score([_INJECTION], [alert], _EPOCH).false_alarms) is false


def test_missed_injection_spoils_the_score() -> None:
    assert not score([_INJECTION], [], _EPOCH).perfect
