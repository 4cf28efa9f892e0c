"""What the README shows is what happens."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdrift.commands.history import History
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.commands.tune import TuneOptions, run_tune
from streamdrift.config import load_settings
from streamdrift.decoders import make_decoder
from streamdrift.records import Messages, Partition
from tests import markdown
from tests.markdown import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return markdown.blocks(README, language)


def test_there_is_something_to_check() -> None:
    assert len(blocks("python")) >= 2
    assert len(blocks("yaml")) >= 1
    assert len(markdown.commands(README)) >= 4


@pytest.mark.parametrize("block", blocks("yaml"))
def test_settings_load(block: str, tmp_path: Path) -> None:
    file = tmp_path / "streamdrift.yaml"
    file.write_text(block)
    settings = load_settings(file, environment={})
    assert settings.model("fraud").reference.events == 10_000


def test_events_decode() -> None:
    events = [json.loads(block) for block in blocks("json")]
    event = next(event for event in events if "event_id" in event)
    data = np.frombuffer(json.dumps(event).encode(), dtype=np.uint8)
    none = np.full(1, -1, dtype=np.int64)
    zero = np.zeros(1, dtype=np.int64)
    messages = Messages(
        partition=Partition("predictions", 0),
        data=data,
        start=zero,
        length=np.array([len(data)]),
        offset=zero,
        time=zero,
        key_start=zero,
        key_length=none,
        header_start=zero,
        header_length=none,
        next_offset=1,
    )
    decoded = make_decoder("json", {}).decode(messages)
    assert decoded.dead_letters == ()
    (batch,) = decoded.batches
    assert (batch.model, batch.version) == ("fraud", "3")
    assert {key.name for key in batch.columns} >= {"amount", "country", "score", "latency_ms"}


def shown_part(shown: Any, actual: Any) -> Any:
    """Returns of `actual` what `shown` has too."""
    if isinstance(shown, dict):
        return {key: shown_part(shown[key], actual[key]) for key in shown}
    if isinstance(shown, list) and shown and isinstance(shown[0], dict):
        return [shown_part(a, b) for a, b in zip(shown, actual, strict=True)]
    return actual


def test_the_replay_gives_the_alert_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(next(block for block in blocks("python") if "fraud.jsonl" in block), {})
    options = ReplayOptions("fraud.jsonl", tmp_path / "alerts.jsonl", None, None, False)
    run_replay(options, load_settings(environment={}))
    first = json.loads((tmp_path / "alerts.jsonl").read_text().splitlines()[0])
    shown = next(event for event in map(json.loads, blocks("json")) if "specversion" in event)
    assert shown_part(shown, first) == shown


def test_the_budgets_are_those_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(next(block for block in blocks("python") if "fraud.jsonl" in block), {})
    monkeypatch.setenv("COLUMNS", "80")
    run_tune(TuneOptions(History("fraud.jsonl")), load_settings(environment={}))
    (shown,) = re.findall(r"^```\n(╭.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out.startswith(shown)


def test_the_detector_example_notices_the_change(capsys: pytest.CaptureFixture[str]) -> None:
    exec(next(block for block in blocks("python") if "EDetector" in block), {})
    (place,) = re.findall(r"changed; noticed at (\d+)", capsys.readouterr().out)
    assert 1_000 <= int(place) < 1_060
