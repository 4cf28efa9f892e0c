"""The report of a replay: what is kept for it, what it says, and that it is but a page."""

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from streamdrift.changes import StepKind
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.decoders import make_decoder
from streamdrift.errors import InputError, OutputError
from streamdrift.history.extents import Extents
from streamdrift.history.incident_log import IncidentLog
from streamdrift.history.replay import replay
from streamdrift.incidents import Incidents, IncidentSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Messages, Released
from streamdrift.reporting.page import render
from streamdrift.reporting.recorder import Recorder, SignalKey
from streamdrift.reporting.report import make_report
from streamdrift.reporting.timeline import ended
from streamdrift.serving.assembly import make_pipeline
from streamdrift.sources.file import open_file
from tests.alerts import NOON, SECOND, changed, left, make_signal
from tests.histories import HOSTILE, settings, write_history

AMOUNT = SignalKey("fraud", "3", "amount")


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def of(self, name: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a class."""
        return [each for _, each in self.tags if name in (each.get("class") or "").split()]


def report(
    source: Path, *assignments: str, name: str = "report.html", alerts: str = "alerts.jsonl"
) -> bytes:
    target = source.with_name(name)
    options = ReplayOptions(str(source), source.with_name(alerts), None, None, False, target)
    run_replay(options, settings(*assignments))
    return target.read_bytes()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history") / "fraud.jsonl")


@pytest.fixture(scope="module")
def page(history: Path) -> Page:
    return Page(report(history))


def test_an_incident_that_ended_in_two_ways_says_so() -> None:
    lasting, passing = make_signal(0, "lasting"), make_signal(1, "passing")
    steps = [
        changed(NOON, lasting),
        changed(NOON, passing),
        left(NOON + 60 * SECOND, lasting, StepKind.ACCEPTED),
        left(NOON + 120 * SECOND, passing),
    ]
    for told, words in ((steps[::2], ""), (steps, " in part")):
        log = IncidentLog()
        log.add(Incidents(lambda _: IncidentSettings(), lambda _: {}).observe(told, 2 * NOON))
        (incident,) = log.incidents()
        assert ended(incident).startswith(f"accepted as the new normal{words} after")


# --- what is kept while it runs


def recorded(source: Path, size: int, *assignments: str) -> tuple[Recorder, Pipeline, list[Alert]]:
    """Replay a file in pieces of so many events, with a recorder that looks on."""
    file, recorder, alerts = open_file(str(source), model=None), Recorder(64, 8), list[Alert]()
    pipeline = make_pipeline(settings(*assignments), onlooker=recorder)
    pipeline.ordering.assign([file.partition], believed=True)
    decoder = make_decoder("json", file.layout.mapping)
    replay(map(decoder.decode, _pieces(file, size)), pipeline, alerts.extend)
    recorder.finish(pipeline.monitor)
    return recorder, pipeline, alerts


def _pieces(given: Iterable[Messages], size: int) -> Iterator[Messages]:
    for messages in given:
        first, end = int(messages.offset[0]), messages.next_offset
        for start in range(first, end, size):
            stop = min(start + size, end)
            there = (messages.offset >= start) & (messages.offset < stop)
            yield replace(messages.take(there), next_offset=stop)


def test_the_record_is_the_same_however_the_history_was_cut(history: Path) -> None:
    records = [recorded(history, size) for size in (61, 1_000, 3_000)]
    (first, _, alerts), *others = records
    for other, _, told in others:
        assert told == alerts
        assert other.changes == first.changes
        assert other.watched == first.watched
        assert list(other.courses.keys) == list(first.courses.keys)
        for key in first.courses.keys:
            one, another = first.courses.course(key), other.courses.course(key)
            np.testing.assert_array_equal(one.times, another.times)
            np.testing.assert_array_equal(one.statistics, another.statistics)
            np.testing.assert_array_equal(one.changed, another.changed)


def test_of_many_models_each_is_looked_at_as_seldom_as_one(history: Path, tmp_path: Path) -> None:
    source = tmp_path / "models.jsonl"
    with source.open("w") as file:
        for place, line in enumerate(history.read_text().splitlines()):
            file.write(json.dumps({**json.loads(line), "model": f"m{place % 5}"}) + "\n")
    small = "models.*.reference.events=300"
    (first, _, alerts), (second, _, told) = (recorded(source, size, small) for size in (77, 3_000))
    assert told == alerts
    courses = [first.courses.course(key) for key in first.courses.keys]
    again = [second.courses.course(key) for key in second.courses.keys]
    assert len(courses) == len(again) > 50
    for one, another in zip(courses, again, strict=True):
        np.testing.assert_array_equal(one.times, another.times)
        np.testing.assert_array_equal(one.statistics, another.statistics)
    # 3,000 events are 40 at a time from where there are 5 models on.
    assert 3_000 / 80 < len(courses[0].times) < 3_000 / 40 + 5 < 3_000 / 8


def test_who_looks_on_changes_no_alert(history: Path) -> None:
    _, _, alerts = recorded(history, 500)
    file, told = open_file(str(history), model=None), list[Alert]()
    pipeline = make_pipeline(settings())
    pipeline.ordering.assign([file.partition], believed=True)
    decoder = make_decoder("json", file.layout.mapping)
    replay(map(decoder.decode, file), pipeline, told.extend)
    assert alerts == told


def test_events_of_one_time_are_never_torn(history: Path) -> None:
    class Asker:
        seen: list[tuple[int, int]] = []  # noqa: RUF012 - one test's own

        def places(self, released: Released) -> Iterator[int]:
            yield from recorder.places(released)

        def look(self, monitor: Shards, time: int) -> None:
            recorder.look(monitor, time)
            self.seen.append((time, sum(each.events for each in monitor.versions())))

    recorder = Recorder(64, 8)
    rows = [json.loads(line) for line in history.read_text().splitlines()[:900]]
    tied = history.with_name("tied.jsonl")
    with tied.open("w") as file:
        for place, row in enumerate(rows):
            file.write(json.dumps({**row, "timestamp": 1_767_225_600 + place // 30}) + "\n")
    events = open_file(str(tied), model=None)
    pipeline = make_pipeline(settings(), onlooker=Asker())
    pipeline.ordering.assign([events.partition], believed=True)
    decoder = make_decoder("json", events.layout.mapping)
    replay(map(decoder.decode, _pieces(events, 7)), pipeline, lambda _: None)
    assert len(Asker.seen) > 10
    assert {count % 30 for _, count in Asker.seen} == {0}


def test_what_a_signal_showed_before_its_change_and_since_is_kept(history: Path) -> None:
    recorder, _, _ = recorded(history, 500)
    found = recorder.changes[AMOUNT]
    assert found is not None
    middles = (np.array(found.edges[1:]) + np.array(found.edges[:-1])) / 2
    assert np.dot(middles, found.reference) == pytest.approx(0, abs=0.15)
    assert np.dot(middles, found.current) == pytest.approx(3, abs=0.15)
    assert found.values == 500  # As many as a reference has are kept.
    assert found.since is not None
    new = recorder.changes[SignalKey("fraud", "3", "country (category)")]
    assert new is not None
    shares = dict(zip(new.names, zip(new.reference, new.current, strict=True), strict=True))
    before, now = shares["BR"]
    assert before == 0
    assert now == pytest.approx(1 / 3, abs=0.05)


def test_of_private_columns_no_values_are_kept_but_rates(history: Path) -> None:
    recorder, pipeline, _ = recorded(history, 500, "models.*.private=[amount, country]")
    assert recorder.changes[AMOUNT] is None
    assert recorder.changes[SignalKey("fraud", "3", "country (category)")] is None
    (version,) = pipeline.monitor.versions()
    found = {signal.name: version.distribution(signal) for signal in version.signals}
    unseen, missing = found["country (unseen)"], found["amount (missing)"]
    assert unseen is not None
    assert unseen.current[1] == pytest.approx(1 / 3, abs=0.05)
    assert missing is not None
    assert missing.current == (1.0, 0.0)


def test_a_signal_that_is_unchanged_shows_its_last_values(history: Path) -> None:
    _, pipeline, _ = recorded(history, 500)
    (version,) = pipeline.monitor.versions()
    score = next(signal for signal in version.signals if signal.name == "value")
    found = version.distribution(score)
    assert found is not None
    assert found.since is None
    assert found.values == 256
    assert sum(found.current) == pytest.approx(1)


def test_of_a_rhythm_the_values_are_shown_and_not_what_it_leaves(tmp_path: Path) -> None:
    source = tmp_path / "cycle.jsonl"
    with source.open("w") as file:
        for place in range(1_500):
            value = 10 * np.sin(2 * np.pi * place / 50) + 0.1 * (place * 7919 % 97)
            event = {"model": "m", "version": "1", "timestamp": 1_767_225_600 + place}
            file.write(json.dumps({**event, "features": {"x": value}}) + "\n")
    _, pipeline, _ = recorded(source, 500)
    (version,) = pipeline.monitor.versions()
    signal = next(each for each in version.signals if each.name == "x")
    before = version.distribution(signal)
    assert before is not None
    assert before.edges[0] == pytest.approx(-10, abs=3)
    assert before.edges[-1] == pytest.approx(19, abs=3)
    restored = make_pipeline(settings())
    restored.restore({shard: pipeline.snapshot(shard) for shard in range(settings().shards)})
    assert restored.monitor.versions()[0].distribution(signal) == before


# --- what the page says


def test_it_says_what_was_replayed_and_what_came_of_the_budget(page: Page) -> None:
    assert page.text.startswith("fraud.jsonl: drift report")
    assert "2026-01-01 00:00:00 to 2026-01-01 00:49:59 UTC (50 min)" in page.text
    assert "3k events 1 model, 1 version" in page.text
    assert "1 incident 1 critical" in page.text
    assert "alert budget 2 a week" in page.text
    assert "fraud 3: 11 signals watched from event 501 on" in page.text
    assert " in 0." not in page.text  # How long it took is no part of it.


def test_incidents_stand_on_the_timeline_where_they_were(page: Page) -> None:
    (bar,) = page.of("bar")
    style = dict(part.split(":") for part in (bar["style"] or "").split(";"))
    assert float(style["left"].rstrip("%")) == pytest.approx(50, abs=2)
    assert float(style["left"].rstrip("%")) + float(style["width"].rstrip("%")) == 100
    assert (bar["aria-label"] or "").startswith("incident 1: critical, 2026-01-01 00:2")
    assert "amount of fraud/3 changed: median" in page.text


def test_each_signal_has_its_statistic_and_a_changed_one_its_onset(page: Page) -> None:
    assert len(page.of("course")) == 11
    assert len(page.of("onset")) == len(page.of("alarm")) == 4  # One of them explains it.
    paths = [each["d"] for each in page.of("line") if "d" in each]
    assert all(paths)
    assert "As a table" in page.text
    assert "country (category)" in page.text
    assert "BR new" in page.text.replace("  ", " ")


def test_charts_have_words_for_those_who_do_not_see_them(page: Page) -> None:
    assert all(each.get("aria-label") for each in page.of("course"))
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")


def test_it_needs_nothing_from_elsewhere(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in page.text
    assert "http:" not in page.text.replace("https:", "http:")


def test_the_same_history_gives_the_same_bytes(history: Path) -> None:
    assert report(history) == report(history, name="again.html")


def test_names_are_never_more_than_text(tmp_path: Path) -> None:
    source = write_history(tmp_path / "e.jsonl", model=HOSTILE, feature=HOSTILE, level=HOSTILE)
    found = Page(report(source))
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in found.tags}
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert HOSTILE in " ".join(found.texts)
    assert "49" not in {text.strip() for text in found.texts}


def test_what_is_no_text_is_marked(tmp_path: Path) -> None:
    odd = "a\u202eb\x00c\u200b"
    content = report(write_history(tmp_path / "e.jsonl", feature=odd)).decode()
    assert "a\ufffdb\ufffdc\ufffd" in content
    assert not {"\u202e", "\x00", "\u200b"} & set(content)


def test_of_private_columns_the_page_shows_no_value(tmp_path: Path) -> None:
    source = write_history(tmp_path / "e.jsonl", level="secret-level")
    assert b"secret-level" in report(source)
    hidden = report(source, "models.*.private=[country, amount]")
    assert b"secret-level" not in hidden
    assert Page(hidden).text.count("The column is private: its values are not shown.") == 2


def test_a_hundred_signals_take_less_than_two_megabytes(tmp_path: Path) -> None:
    source = write_history(tmp_path / "wide.jsonl", count=4_000, others=100)
    content = report(source, "models.*.reference.events=300")
    found = Page(content)
    assert len(found.of("course")) > 100
    assert "further signals stayed farther from their thresholds" in found.text
    assert len(content) < 2_000_000


def test_where_there_were_no_events_it_says_so() -> None:
    recorder, pipeline = Recorder(), make_pipeline(settings())
    recorder.finish(pipeline.monitor)
    summary = ["no events: nothing was watched"]
    made = make_report(
        "kafka://t",
        recorder,
        IncidentLog().incidents(),
        Extents().versions,
        pipeline.monitor,
        summary,
    )
    text = Page(render(made)).text
    assert "kafka://t no events" in text
    assert "None: nothing was watched. The summary below says why." in text


def test_times_that_are_made_up_are_said_to_be(page: Page, tmp_path: Path) -> None:
    source = tmp_path / "loans.csv"
    source.write_text("a\n" + "\n".join(str(k * 7919 % 997) for k in range(600)))
    assert "all times here are made up" in Page(report(source)).text
    assert "made up" not in page.text


def test_it_reads_standard_input(history: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    command = [sys.executable, "-m", "streamdrift", "replay", "-", "--report", str(target)]
    small = ["--set", "models.*.reference.events=500"]
    with history.open() as file:
        subprocess.run([*command, *small], stdin=file, stdout=subprocess.DEVNULL, check=True)
    assert Page(target.read_bytes()).text.startswith("standard input: drift report")


def test_of_many_incidents_the_first_are_told_at_once(tmp_path: Path) -> None:
    draw = random.Random(3)
    source = tmp_path / "events.jsonl"
    with source.open("w") as file:
        for place in range(15 * 1_200):
            model = f"m{place % 15:02}" if place // 15 < 1_190 else f"few{place % 15}"
            shifted = place // 15 >= 900
            features = {"x": draw.gauss(4 if shifted else 0, 1)}
            event = {"model": model, "version": "1", "timestamp": 1_767_225_600 + place // 15}
            file.write(json.dumps({**event, "features": features}) + "\n")
    found = Page(report(source))
    assert "3 further incidents" in found.text
    bars = {each["href"] for each in found.of("bar")}
    assert bars == {f"#incident-{k}" for k in range(1, 16)}
    rows = found.of("row")
    assert len(rows) == 15 + 8 + 1  # Of those without incidents some; and the axis.
    assert "7 further model versions are not drawn" in found.text
    places = [each["id"] for tag, each in found.tags if "id" in each]
    assert len(places) == len(set(places))
    linked = {each["href"] for tag, each in found.tags if tag == "a"}
    assert linked <= {f"#{place}" for place in places}


def test_what_was_never_watched_is_named(tmp_path: Path) -> None:
    found = Page(report(write_history(tmp_path / "few.jsonl", count=100)))
    assert "not watched: 100 events are too few" in found.text
    assert "None: nothing was watched." in found.text
    assert not found.of("course")


# --- where it goes


def options(source: object, target: Path, alerts: Path | None = None) -> ReplayOptions:
    return ReplayOptions(str(source), alerts, None, None, False, target)


def test_it_takes_the_place_of_no_other_file(history: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is the file that is replayed"):
        run_replay(options(history, history), settings())
    same = tmp_path / "same"
    with pytest.raises(InputError, match="is where the alerts go"):
        run_replay(options(history, same, same), settings())
    assert not same.exists()


def test_what_cannot_be_written_is_named(history: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"r\.html cannot be written: No such file"):
        run_replay(options(history, tmp_path / "none" / "r.html"), settings())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named(history: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="/dev/full cannot be written: No space left"):
        run_replay(options(history, Path("/dev/full"), tmp_path / "alerts"), settings())


def test_that_of_before_outlives_a_replay_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(InputError, match=r"none\.jsonl"):
        run_replay(options(tmp_path / "none.jsonl", target), settings())
    assert target.read_text() == "old"
