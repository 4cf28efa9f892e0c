import json
from pathlib import Path

import pytest

from streamdrift.demo import run
from streamdrift.demo.document import document, opened, save
from streamdrift.demo.injections import Injection, Touched
from streamdrift.demo.run import DemoOptions, run_demo
from streamdrift.demo.scorer import Published, Score, Verdict
from streamdrift.errors import OutputError
from streamdrift.records import SignalKind

_EPOCH = 1_795_000_000_000_000
_INJECTION = Injection("shift", "fraud", (Touched("amount", SignalKind.VALUE),), 10.0, 14.0, 20.0)


def test_document_has_times_that_can_be_compared() -> None:
    alert = Published(_EPOCH + 12_000_000, {"id": "a", "time": "2026-11-18T11:06:51.500000Z"})
    score = Score((Verdict(_INJECTION, alert, 2.0), Verdict(_INJECTION, None, None)), ())
    told = json.loads(document(score, [700, None], [alert], _EPOCH))
    assert told["started_at"] == "2026-11-18T11:06:40.000000Z"
    assert told["injections"] == [
        {
            "name": "shift",
            "model": "fraud",
            "signals": [{"column": "amount", "kind": "value"}],
            "injected_at": "2026-11-18T11:06:50.000000Z",
            "found": True,
            "delay_events": 700,
            "delay_seconds": 2.0,
            "alert_id": "a",
        },
        {
            "name": "shift",
            "model": "fraud",
            "signals": [{"column": "amount", "kind": "value"}],
            "injected_at": "2026-11-18T11:06:50.000000Z",
            "found": False,
            "delay_events": None,
            "delay_seconds": None,
            "alert_id": None,
        },
    ]
    assert told["alerts"] == [alert.event]
    assert told["false_alarms"] == []


@pytest.mark.parametrize("name", ["missing/out.json", "."])
def test_file_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(run, "embedded_broker", lambda: pytest.fail("a broker was started"))
    with pytest.raises(OutputError, match="cannot be written to") as refused:
        run_demo(DemoOptions(json_file=tmp_path / name))
    assert refused.value.hint is not None


def test_full_disk_is_an_error_for_people() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this platform has no /dev/full")
    with pytest.raises(OutputError, match="No space left"), opened(full) as stream:
        save(stream, b"{}")
