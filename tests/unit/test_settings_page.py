"""docs/settings.md is what the settings' classes say, and what it says works."""

import re
import shlex
from collections.abc import Iterator

from typer.testing import CliRunner

from streamdrift.__main__ import app
from streamdrift.config import Settings, load_settings, settings_schema
from streamdrift.config.layers import parse_file
from streamdrift.config.mistakes import Shape
from streamdrift.config.page import settings_page
from streamdrift.decoders import MappingSettings
from streamdrift.incidents.budget import Budget
from tests.markdown import ROOT, anchors, blocks, links

PAGE = (ROOT / "docs" / "settings.md").read_text()


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield key, variable and default of each line that has a variable."""
    for line in PAGE.splitlines():
        found = re.match(r"\| `([^`]+)`<br>`([^`]+)` \|.* \| (\S[^|]*) \| [^|]+ \|$", line)
        if found:
            yield found[1], found[2], found[3]


def test_the_page_is_up_to_date() -> None:
    assert settings_page() == PAGE, "run `streamdrift settings --markdown > docs/settings.md`"


def test_the_command_prints_it() -> None:
    assert CliRunner().invoke(app, ["settings", "--markdown"]).stdout == PAGE


def test_every_key_is_there() -> None:
    headings = set(re.findall(r"^### `([^`]+)`", PAGE, re.MULTILINE))
    keys = {key for key, _, _ in rows()} | headings
    inside = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    for key in Shape(settings_schema()).every_key():
        written = ".".join(map(str, key)).replace("models.*", "models.<MODEL>")
        if written == "models" or key[-1] == "*":
            continue
        in_list = key[-1] in inside or {"header", "key", "topic", "constant"} & {key[-1]}
        assert written in keys or in_list, written


def test_variables_take_the_defaults_that_are_shown() -> None:
    needed = "none: must be given"
    incomplete = {key.rpartition(".")[0] for key, _, default in rows() if default == needed}
    incomplete.add("alerts.webhook")  # It needs one of two.
    defaults = {
        f"{variable.replace('<MODEL>', 'FRAUD')}": default.removesuffix(" (by `name`)").strip("`")
        for key, variable, default in rows()
        if default != "found at start" and key.rpartition(".")[0] not in incomplete
    }
    assert len(defaults) > 80
    settings = load_settings(environment=defaults)
    assert MappingSettings.model_validate(settings.source.mapping) == MappingSettings()
    unmapped = settings.source.model_copy(update={"mapping": {}})
    shown = settings.model_copy(update={"source": unmapped}).shown()
    assert {**shown, "models": {}} == {**Settings().shown(), "models": {}}
    assert settings.model("fraud") == Settings().model("fraud")


def test_its_examples_say_the_same() -> None:
    (example,) = blocks(PAGE, "yaml")
    wanted = "kafka-1:9092,kafka-2:9092"
    (name,) = parse_file(example, "example").values
    assert name == "kafka"
    by_variable, by_option = blocks(PAGE, "sh")[0].splitlines()
    variable, servers = shlex.split(by_variable)[0].split("=", 1)
    assert load_settings(environment={variable: servers}).kafka.bootstrap_servers == wanted
    *_, option = shlex.split(by_option)
    assert load_settings(assignments=[option], environment={}).kafka.bootstrap_servers == wanted


def test_what_the_introduction_shows_loads() -> None:
    models = re.search(r"STREAMDRIFT_MODELS='([^']+)'", PAGE)
    option = re.search(r"--set '([^']+)'", PAGE)
    assert models is not None
    assert option is not None
    settings = load_settings(
        assignments=[option[1], "name=eu"], environment={"STREAMDRIFT_MODELS": models[1]}
    )
    budgets = [settings.model(name).alert_budget for name in ("Fraud-EU", "fraud.eu", "other")]
    assert budgets == [Budget(1, "day"), Budget(1, "day"), Budget(2, "week")]
    assert settings.alerts.topic == "eu.alerts"


def test_links_within_the_page_lead_somewhere() -> None:
    within = {link[1:] for link in links(PAGE) if link.startswith("#")}
    assert len(within) > 20
    assert within <= anchors(PAGE)
