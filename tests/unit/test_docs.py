"""What the documents show is what happens."""

import re
from pathlib import Path

import pytest

from streamdrift.config import load_settings

DOCS = Path(__file__).parents[2] / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_example_of_one_series_finds_its_change(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("detectors.md", "python")
    exec(example, {})
    shown = re.findall(r"noticed at (\d+) began in \((\d+), (\d+)\)", capsys.readouterr().out)
    ((noticed, earliest, latest),) = shown
    assert int(earliest) <= 2_000 <= int(latest) <= int(noticed) < 2_200


@pytest.mark.parametrize("block", blocks("detectors.md", "yaml"))
def test_settings_load(block: str, tmp_path: Path) -> None:
    file = tmp_path / "streamdrift.yaml"
    file.write_text(block)
    fraud = load_settings(file, environment={}).model("fraud")
    assert len(fraud.detectors) == 2
    assert fraud.signals.keys() == {"latency_ms"}
