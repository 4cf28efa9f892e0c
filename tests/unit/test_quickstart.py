"""What the quick start shows of files is what happens; tests/broker has its topic."""

import io
import json
from pathlib import Path

import pytest

from streamdrift.commands.history import History, put_through
from streamdrift.config import load_settings
from streamdrift.decoders import make_decoder
from streamdrift.sinks.terminal import TerminalSink
from tests.markdown import ROOT, blocks
from tests.messages import messages

PAGE = (ROOT / "docs" / "quickstart.md").read_text()


def test_the_file_gives_the_alerts_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(next(block for block in blocks(PAGE, "python") if "churn.csv" in block), {})
    shown = io.StringIO()
    put_through(History("churn.csv"), load_settings(environment={}), TerminalSink(shown).write)
    assert shown.getvalue() == next(each for each in blocks(PAGE, "") if "churn" in each)


def test_the_event_is_read_by_the_settings(tmp_path: Path) -> None:
    (event,) = blocks(PAGE, "json")
    (text,) = blocks(PAGE, "yaml")
    file = tmp_path / "streamdrift.yaml"
    file.write_text(text)
    source = load_settings(file, environment={}).source
    decoder = make_decoder(source.format, source.mapping)
    decoded = decoder.decode(messages([json.dumps(json.loads(event)).encode()]))
    assert decoded.dead_letters == ()
    (batch,) = decoded.batches
    assert (batch.version, batch.time.tolist()) == ("12", [1_767_225_600_500_000])
    assert {key.name for key in batch.columns} >= {"amount", "country", "score"}
