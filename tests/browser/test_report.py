"""The page of a report in a browser: it shows itself without an error, and asks for nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamdrift.commands.replay import ReplayOptions, run_replay
from tests.chromium import Chromium
from tests.histories import HOSTILE, settings, write_history
from tests.programs import unavailable
from tests.real_kafka import UnavailableError


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a history with drift, whose names want to be scripts."""
    folder = tmp_path_factory.mktemp("report")
    source = write_history(folder / "events.jsonl", model=HOSTILE, feature=HOSTILE, level=HOSTILE)
    target = folder / "report.html"
    run_replay(
        ReplayOptions(str(source), folder / "alerts.jsonl", None, None, False, target), settings()
    )
    return target


@pytest.fixture
def chromium(tmp_path: Path, page: Path) -> Iterator[Chromium]:
    try:
        browser = Chromium(tmp_path / "profile")
    except UnavailableError as error:
        unavailable(f"{error} (the tests of pages need it)")
    with browser:
        browser.open(page)
        yield browser


def test_it_asks_for_nothing_but_itself_and_raises_no_error(chromium: Chromium, page: Path) -> None:
    chromium.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    asked = {each["request"]["url"] for each in chromium.events("Network.requestWillBeSent")}
    assert asked == {page.as_uri()}
    assert chromium.events("Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    assert chromium.events("Log.entryAdded") == []


def test_names_are_text_and_run_nothing(chromium: Chromium) -> None:
    assert chromium.value("document.querySelectorAll('bdi *').length") == 0
    assert chromium.value("globalThis.stolen") is None
    names = "[...document.querySelectorAll('h3')].map((each) => each.textContent)"
    assert HOSTILE in chromium.value(names)


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_a_wide_screen(chromium: Chromium, width: int) -> None:
    chromium.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    assert chromium.value("innerWidth") == width
    assert chromium.value("document.documentElement.scrollWidth") <= width
    chromium.value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    fact = "together with 11 other signals, which makes up for less evidence"
    chromium.value(
        f"document.querySelectorAll('.small bdi').forEach((each) => (each.textContent = '{fact}'))"
    )
    assert set(chromium.value(_LINES_OF_KEYS)) == {1}, "a key breaks into lines"


_LINES_OF_KEYS = """
[...document.querySelectorAll('.small dt')].map((each) => {
    const inside = document.createRange()
    inside.selectNodeContents(each)
    return inside.getClientRects().length
})
"""
_COLOUR = "getComputedStyle(document.body).backgroundColor"


def test_it_is_dark_where_the_system_is_and_as_the_button_says(chromium: Chromium) -> None:
    def colour(scheme: str) -> object:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        chromium.call("Emulation.setEmulatedMedia", features=[feature])
        return chromium.value(_COLOUR)

    light, dark = colour("light"), colour("dark")
    assert light != dark
    chosen = []
    for _ in range(3):
        chromium.value("document.getElementById('theme').click()")
        chosen.append(chromium.value("document.querySelector('#theme span').textContent"))
        chosen.append(chromium.value(_COLOUR))
    assert chosen == ["light", light, "dark", dark, "system", dark]


def test_a_chart_says_what_it_shows_to_the_keyboard(chromium: Chromium) -> None:
    chromium.value("document.querySelector('.course').focus()")
    for key in ("End", "ArrowLeft"):
        chromium.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    told = chromium.value("document.getElementById('tip').textContent")
    assert told.startswith("2026-01-01 ")
    assert " UTC" in told
    assert chromium.value("document.getElementById('tip').hidden") is False


def test_it_prints_light_and_without_what_needs_a_screen(chromium: Chromium) -> None:
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    chromium.call("Emulation.setEmulatedMedia", media="print", features=[feature])
    assert chromium.value(_COLOUR) == "rgb(255, 255, 255)"
    hidden = "getComputedStyle(document.getElementById('theme')).display"
    assert chromium.value(hidden) == "none"
