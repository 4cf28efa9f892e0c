"""What the documents show is what happens."""

import re
from pathlib import Path

import pytest
import yaml

from streamdrift.config import load_settings
from streamdrift.decoders import DECODERS
from tests.markdown import ROOT, anchors, check_command, commands, links
from tests.markdown import blocks as blocks_of

DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("loadtest/*.md")),
    *sorted(DOCS.glob("*.md")),
]


def blocks(document: str, language: str) -> list[str]:
    return blocks_of((DOCS / document).read_text(), language)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_with_their_options(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # It tells of what was there once, too.
    for command in commands(page.read_text()):
        check_command(command)


def test_the_index_has_every_page() -> None:
    index = links((DOCS / "README.md").read_text())
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert {link for link in index if link.endswith(".md") and "/" not in link} == pages
    assert len(index) == len(set(index))


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


@pytest.mark.parametrize("block", blocks("formats.md", "yaml"))
def test_settings_of_formats_load(block: str, tmp_path: Path) -> None:
    """What is no settings file is for KServe."""
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    text = re.sub(r"/secrets/\w+", str(secret), block)
    document = yaml.safe_load(text)
    if "apiVersion" in document:
        assert document["kind"] == "InferenceService"
        return
    file = tmp_path / "streamdrift.yaml"
    file.write_text(text if "source" in document else f"source:\n  {text}")
    assert load_settings(file, environment={}).source != load_settings(environment={}).source


def test_every_format_is_in_the_documents() -> None:
    for document in (DOCS / "formats.md", DOCS.parent / "README.md"):
        listed = "".join(re.findall(r"^\| (.*?) \|", document.read_text(), re.MULTILINE))
        assert set(DECODERS) <= set(re.findall(r"`(\w+)`", listed)), document
