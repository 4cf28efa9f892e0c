import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numba import njit

from streamdrift.commands.history import History, TopicRange, parse_topic, put_through
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.config import Settings, load_settings
from streamdrift.decoders import make_decoder
from streamdrift.errors import InputError, OutputError
from streamdrift.history.replay import Tally, history, replay
from streamdrift.history.summary import summarize
from streamdrift.history.time_order import Sorting, in_time_order
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Messages, Notice, Partition
from streamdrift.serving.assembly import make_pipeline
from streamdrift.serving.compiling import timing_compiled
from streamdrift.sinks.cloudevents import encode
from streamdrift.sources.memory import MemorySource
from tests.batches import feature

ReplayFile = Callable[..., tuple[list[Any], str]]
START = 1_767_225_600
FIRST = Partition("predictions", 0)
SMALL = ("models.*.reference.events=500",)


def settings(*assignments: str) -> Settings:
    return load_settings(None, [*SMALL, *assignments], {})


def events(
    count: int, shift_at: int | None = None, model: str = "fraud"
) -> Iterator[dict[str, Any]]:
    draw = random.Random(5)
    for i in range(count):
        shifted = shift_at is not None and i >= shift_at
        yield {
            "model": model,
            "version": "3",
            "timestamp": START + i,
            "features": {
                "amount": draw.gauss(3 if shifted else 0, 1),
                "user": f"u-{i}",
                "turn": i,
            },
            "prediction": draw.random(),
        }


def group(
    rows: Iterable[dict[str, Any] | bytes], partition: Partition = FIRST, first: int = 0
) -> Messages:
    values = [json.dumps(row).encode() if isinstance(row, dict) else row for row in rows]
    length = np.array([len(value) for value in values], dtype=np.int64)
    none = np.zeros(len(values), dtype=np.int64)
    offset = np.arange(first, first + len(values), dtype=np.int64)
    return Messages(
        partition=partition,
        data=np.frombuffer(b"".join(values), dtype=np.uint8),
        start=np.cumsum(length) - length,
        length=length,
        offset=offset,
        time=(START + offset) * 1_000_000,
        key_start=none,
        key_length=none - 1,
        header_start=none,
        header_length=none - 1,
        next_offset=first + len(values),
    )


def groups(
    rows: Iterable[dict[str, Any]], size: int, partition: Partition = FIRST
) -> list[Messages]:
    listed = list(rows)
    return [group(listed[i : i + size], partition, i) for i in range(0, len(listed), size)]


def replayed(
    given: Iterable[Messages | None], pipeline: Pipeline | None = None
) -> tuple[Tally, list[Alert], Pipeline]:
    pipeline = pipeline or make_pipeline(settings())
    alerts: list[Alert] = []
    tally = replay(given, pipeline, alerts.extend)
    return tally, alerts, pipeline


def test_drift_is_found_however_the_input_is_cut() -> None:
    rows = list(events(3_000, shift_at=1_500))
    results = [replayed(groups(rows, size))[1] for size in (97, 1_000, 3_000)]
    assert results[0][0].type == "opened"
    assert results[0] == results[1] == results[2]


def test_a_stream_that_does_not_drift_raises_nothing() -> None:
    assert replayed(groups(events(3_000), 500))[1] == []


def test_the_alert_of_a_category_with_rare_levels_can_be_written() -> None:
    draw = random.Random(5)
    shares = [1 / rank for rank in range(1, 501)]
    rows = list(events(4_000))
    cities = draw.choices(range(500), shares, k=3_000) + draw.choices(range(3), k=1_000)
    for row, city in zip(rows, cities, strict=True):
        row["features"] = {"city": f"c{city}"}
    _, alerts, _ = replayed(groups(rows, 500))
    written = [json.loads(orjson.dumps(encode(alert, "streamdrift"))) for alert in alerts]
    signals = [signal for each in written for signal in each["data"]["signals"]]
    city = next(signal for signal in signals if signal["kind"] == "category")
    assert 0 < city["before"]["shares"]["(other)"] < 1
    assert city["after"]["shares"]["(other)"] < city["before"]["shares"]["(other)"]


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_alert_of_a_column_that_goes_missing_says_when_and_how_much(share: float) -> None:
    draw, rows = random.Random(6), list(events(3_000))
    for row in rows[2_000:]:
        if draw.random() < share:
            row["features"]["amount"] = None
    results = [replayed(groups(rows, size))[1] for size in (97, 3_000)]
    assert results[0] == results[1]
    data = json.loads(orjson.dumps(encode(results[0][0], "streamdrift")))["data"]
    (missing,) = [each for each in data["signals"] if each["kind"] == "missing"]
    begun = [datetime.fromisoformat(missing["onset"][end]) for end in ("earliest", "latest")]
    assert begun[0].timestamp() <= START + 2_000 <= begun[1].timestamp()
    # An onset is told as 64 events at the finest.
    assert begun[1].timestamp() - begun[0].timestamp() < 200
    assert missing["text"].startswith("missing 0 % -> ")
    assert missing["effect"]["variation"]["low"] <= share <= missing["effect"]["variation"]["high"]
    if share == 1:
        assert missing["text"] == "missing 0 % -> 100 %"


def test_the_summary_says_what_is_watched_and_what_not_and_why() -> None:
    tally, _, pipeline = replayed(groups(events(2_000), 500))
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 2.0))
    assert "fraud 3: " in text
    assert "signals watched from event 501 on" in text
    assert "not watched, as identifier: user" in text
    assert "not watched, as counter: turn" in text
    assert "2,000 events in 2.0 s (1,000 a second)" in text
    assert "0 alerts" in text


def test_the_summary_holds_what_came_of_the_budget_against_it() -> None:
    chosen = settings("models.*.alert_budget=0.5/hour")
    rows = list(events(3_000, shift_at=1_500))
    for row in rows[2_900:]:
        row["timestamp"] += 7_200
    tally, _, pipeline = replayed(groups(rows, 500), make_pipeline(chosen))
    lines = summarize(tally, pipeline.monitor, chosen.model, 1.0)
    assert (
        "fraud: budget 0.5 a hour; 1.3 allowed in 2.7 h watched, 1 incident opened: 0.37 a hour "
        "(1 still open, and 1 by silence, which is no test)" in lines
    )


def test_the_summary_gives_no_rate_of_less_than_one_unit_of_the_budget() -> None:
    tally, _, pipeline = replayed(groups(events(3_000, shift_at=1_500), 500))
    lines = summarize(tally, pipeline.monitor, settings().model, 1.0)
    assert (
        "fraud: budget 2 a week; 0.0083 allowed in 41.7 min watched, "
        "1 incident opened (1 still open)" in lines
    )


def test_the_summary_gives_no_rate_where_no_time_has_passed() -> None:
    tally, _, pipeline = replayed(groups(events(500), 500))
    lines = summarize(tally, pipeline.monitor, settings().model, 1.0)
    assert "fraud: budget 2 a week; 0 incidents opened, no time watched yet" in lines


def test_the_summary_says_which_setting_lowers_the_reference() -> None:
    tally, _, pipeline = replayed(groups(events(450), 100))
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert "fraud 3: not watched: 450 events are too few for a reference of 500" in text
    assert "--set 'models.*.reference.events=150'" in text


def test_no_reference_is_asked_for_that_is_refused() -> None:
    tally, _, pipeline = replayed(groups(events(1), 100))
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert "1 event is too few for a reference of 500: a longer history is needed" in text
    assert "no reference has fewer than 100" in text
    assert "--set" not in text
    assert "\n1 event in 1.0 s" in text


def test_what_is_compiled_is_no_throughput(tmp_path: Path) -> None:
    file = tmp_path / "fraud.jsonl"
    file.write_text("\n".join(map(json.dumps, events(200))))
    spent: list[float] = []

    def make(chosen: Settings, *, timed: bool = True) -> Pipeline:
        with timing_compiled() as compiled:
            njit(lambda x: np.sort(x) + np.cumsum(x))(np.zeros(3))
            spent.append(compiled())
        return make_pipeline(chosen, timed=timed)

    begin = time.perf_counter()
    with timing_compiled() as compiled:
        found = put_through(History(str(file)), settings(), lambda _: None, make)
    whole = time.perf_counter() - begin
    assert spent[0] > 0.05
    assert 0 < found.seconds <= whole - compiled()


def test_the_summary_says_what_was_found_in_references() -> None:
    pipeline = make_pipeline(settings("models.*.reference.span=30d"))
    tally, _, _ = replayed(groups(events(800), 100), pipeline)
    lines = summarize(tally, pipeline.monitor, settings().model, 1.0)
    (line,) = (line for line in lines if "provisional reference" in line)
    assert line.startswith("  ")
    assert "cycles of hours and days are unknown so far" in line


def test_the_summary_shows_the_first_message_of_each_reason_that_could_not_be_used() -> None:
    rows: list[dict[str, Any] | bytes] = [*events(20), b"{broken", b"[", *events(3)]
    tally, _, pipeline = replayed([group(rows)])
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert "2 messages or events not used: 2 invalid_json" in text
    assert "the first invalid_json: offset 20:" in text


def test_the_summary_says_truly_why_a_column_is_not_watched() -> None:
    rows = [{**row, "features": {**row["features"], "tags": ["x"], "z": 1}} for row in events(600)]
    chosen = settings("models.*.ignore=[amount]", "models.*.roles.z=ignored")
    pipeline = make_pipeline(chosen)
    tally, _, _ = replayed(groups(rows, 100), pipeline)
    text = "\n".join(summarize(tally, pipeline.monitor, chosen.model, 1.0))
    assert "not watched, as models.*.ignore says: amount" in text
    assert "not watched, as models.*.roles says: z" in text
    assert "not watched, as neither number, text nor truth value: tags" in text
    assert "as ignored" not in text


def test_the_summary_names_the_columns_beyond_the_limit() -> None:
    chosen = settings("models.*.max_columns=1")
    pipeline = make_pipeline(chosen)
    rows = list(events(600))
    for i, row in enumerate(rows):
        row["features"]["wave"] = i % 7 / 3
    tally, _, _ = replayed(groups(rows, 100), pipeline)
    text = "\n".join(summarize(tally, pipeline.monitor, chosen.model, 1.0))
    assert "not watched, beyond models.*.max_columns of 1: wave" in text


def test_the_summary_prints_the_notices() -> None:
    rows = list(events(900))
    rows[700]["features"]["late_one"] = 1
    tally, _, pipeline = replayed(groups(rows, 100))
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert (
        "fraud 3: columns appeared (columns: late_one; effect: not watched until a new reference)"
        in text
    )
    assert "reference complete" not in text


def test_the_summary_limits_the_notices() -> None:
    tally = Tally(notices=[Notice("odd", "m", str(i), {}) for i in range(12)])
    text = "\n".join(summarize(tally, make_pipeline(settings()).monitor, settings().model, 1.0))
    assert "m 9: odd\nand 2 notices more" in text


def test_the_summary_names_versions_that_were_forgotten() -> None:
    rows = list(events(1_200))
    for row in rows[600:]:
        row["version"] = "4"
        row["timestamp"] += 30 * 86_400
    tally, _, pipeline = replayed(groups(rows, 100))
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert "fraud 3: sent nothing for models.*.retire_after, and were forgotten" in text


def test_the_summary_counts_fields_beyond_the_limit_of_an_event() -> None:
    rows = [{"model": "m", "features": {f"f{i}": i for i in range(1_003)}}]
    tally, _, pipeline = replayed([group(rows)])
    text = "\n".join(summarize(tally, pipeline.monitor, settings().model, 1.0))
    assert "3 fields of events with too many were not watched" in text


def test_nothing_at_all_is_said_too() -> None:
    tally, alerts, pipeline = replayed([])
    assert alerts == []
    assert (
        summarize(tally, pipeline.monitor, settings().model, 0.0)[0]
        == "no events: nothing was watched"
    )


def test_the_history_of_partitions_of_unequal_length_is_one_ordered_stream() -> None:
    rows = list(events(3_000, shift_at=1_500))
    expected = [alert.id for alert in replayed(groups(rows, 500))[1]]
    halves = [
        groups(part, 50, Partition("predictions", number))
        for number, part in enumerate((rows[:2_000:2], rows[1:2_000:2] + rows[2_000:]))
    ]
    source = MemorySource([*halves[0], *halves[1]])
    pipeline = make_pipeline(settings())
    _, alerts, _ = replayed(history(source, pipeline, max_pending=200), pipeline)
    assert [alert.id for alert in alerts] == expected


def test_history_ends_where_the_logs_end_when_it_is_read() -> None:
    source = MemorySource(groups(events(100), 50), partitions=[Partition("predictions", 1)])
    pipeline = make_pipeline(settings())
    tally, _, _ = replayed(history(source, pipeline, 1_000), pipeline)
    assert tally.events == 100


def test_history_ends_before_the_first_record_of_the_given_time() -> None:
    source = MemorySource(groups(events(100), 30))
    pipeline = make_pipeline(settings())
    until = (START + 40) * 1_000_000
    tally, _, _ = replayed(history(source, pipeline, 1_000, until), pipeline)
    assert tally.events == 40


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("kafka://a.b-c", TopicRange("a.b-c", "earliest", None)),
        (
            "kafka://t?from=2026-01-01T00:00:00+02:00&to=1970-01-01T00:00:01Z",
            TopicRange("t", "2026-01-01T00:00:00+02:00", 1_000_000),
        ),
    ],
)
def test_a_topic_is_named_with_its_range(source: str, expected: TopicRange) -> None:
    assert parse_topic(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("kafka://", "names no topic"),
        ("kafka://t/x", "names no topic"),
        ("kafka://t?since=2026-01-01", "unknown since"),
        ("kafka://t?from=yesterday", "'yesterday' is no start"),
        ("kafka://t?to=2026-01-01T00:00:00", "no offset to UTC"),
    ],
)
def test_a_topic_that_names_nothing_is_refused(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_topic(source)


@pytest.fixture
def replay_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> ReplayFile:
    def run(
        name: str, text: str, *assignments: str, compress: bool = False, **options: Any
    ) -> tuple[list[Any], str]:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
        values: dict[str, Any] = {
            "alerts": None,
            "model": None,
            "events_per_day": None,
            "journal": False,
        }
        run_replay(ReplayOptions(str(path), **{**values, **options}), settings(*assignments))
        out, err = capfd.readouterr()
        return [json.loads(line) for line in out.splitlines()], err

    return run


def test_alerts_of_a_file_are_json_lines_on_stdout(replay_file: ReplayFile) -> None:
    text = "".join(json.dumps(event) + "\n" for event in events(3_000, shift_at=1_500))
    alerts, err = replay_file("fraud.jsonl", text)
    assert alerts[0]["type"] == "io.streamdrift.incident.opened.v1"
    assert alerts[0]["subject"] == "fraud/3"
    assert "1 alert: 1 opened" in err
    assert "events a day" not in err


def test_alerts_are_sentences_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fraud.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in events(3_000, shift_at=1_500)))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run_replay(ReplayOptions(str(path), None, None, None, False), settings())
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("2026-01-01 00:2")
    assert " opened   critical amount of fraud/3 changed: " in first


def test_a_table_needs_no_settings(replay_file: ReplayFile) -> None:
    draw = random.Random(1)
    lines = [f"{draw.gauss(2 if i >= 1500 else 0, 1):.3f},{draw.choice('ab')}" for i in range(3000)]
    alerts, err = replay_file("loans.csv.gz", "amount,kind\n" + "\n".join(lines), compress=True)
    assert alerts[0]["subject"] == "loans"
    assert alerts[0]["data"]["signals"][0]["name"] == "amount"
    assert "taken as 100,000 events a day (--events-per-day), and neither silence nor" in err


def test_model_and_spacing_of_a_table_can_be_given(replay_file: ReplayFile) -> None:
    lines = "\n".join(str(random.Random(i).random()) for i in range(600))
    _, err = replay_file("x.csv", "a\n" + lines, model="credit", events_per_day=24.0)
    assert err.startswith("credit: ")
    assert "taken as 24 events a day" in err


def test_a_mapping_in_the_settings_goes_before_the_columns(replay_file: ReplayFile) -> None:
    rows = [{"inputs": {"x": random.Random(i).random()}, "ts": START + i} for i in range(600)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    _, err = replay_file(
        "m.jsonl", text, "source.mapping.features=/inputs", "source.mapping.time=/ts"
    )
    assert err.startswith("m: ")
    assert "events a day" not in err


def test_alerts_can_go_to_a_file_which_is_written_anew(
    replay_file: ReplayFile, tmp_path: Path
) -> None:
    text = "".join(json.dumps(event) + "\n" for event in events(3_000, shift_at=1_500))
    target = tmp_path / "alerts.jsonl"
    target.write_text("old\n")
    out, _ = replay_file("fraud.jsonl", text, alerts=target)
    assert out == []
    assert all(json.loads(line)["specversion"] == "1.0" for line in target.read_text().splitlines())


def test_a_file_that_cannot_be_written_is_named(replay_file: ReplayFile, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        replay_file("a.jsonl", "{}\n", alerts=tmp_path / "none" / "alerts.jsonl")


@pytest.mark.parametrize("given", ["none.jsonl", "empty.jsonl"])
def test_alerts_of_before_outlive_a_replay_that_fails(tmp_path: Path, given: str) -> None:
    target = tmp_path / "alerts.jsonl"
    target.write_text("old\n")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match=given):
        run_replay(ReplayOptions(str(tmp_path / given), target, None, None, False), settings())
    assert target.read_text() == "old\n"


def test_alerts_never_take_the_place_of_the_events(replay_file: ReplayFile, tmp_path: Path) -> None:
    text = json.dumps(next(events(1)))
    path = tmp_path / "self.jsonl"
    (tmp_path / "link").symlink_to(path)
    for alerts in (path, tmp_path / "link"):
        with pytest.raises(InputError, match="is the file that is replayed"):
            replay_file("self.jsonl", text, alerts=alerts)
        assert path.read_text() == text


def table(count: int, shift_at: int, step: int = 1) -> list[str]:
    draw = random.Random(5)
    return [
        f"{START + i * step},{draw.gauss(3 if i >= shift_at else 0, 1):.4f}" for i in range(count)
    ]


def test_a_table_that_is_newest_first_is_sorted_by_time(replay_file: ReplayFile) -> None:
    rows = table(3_000, shift_at=1_500)
    expected, err = replay_file("fraud.csv", "time,a\n" + "\n".join(rows), *SMALL)
    assert "older than" not in err
    alerts, err = replay_file("fraud.csv", "time,a\n" + "\n".join(rows[::-1]), *SMALL)
    assert alerts == expected
    assert alerts[0]["time"].startswith("2026-01-01T00:2")
    assert "2,999 of 3,000 rows are older than one before them: all were sorted" in err


def test_events_that_are_newest_first_are_counted_with_advice(replay_file: ReplayFile) -> None:
    rows = [json.dumps(row) for row in events(600)]
    _, err = replay_file("fraud.jsonl", "\n".join(rows[::-1]), *SMALL)
    assert "599 events are older than one before them, and took its time: sort the file" in err


def test_sorting_keeps_rows_of_one_time_and_dead_letters(replay_file: ReplayFile) -> None:
    rows = [f"{row},fraud" for row in table(1_000, shift_at=1_000)]
    rows[3] = f"{START},1.0,{'x' * 9_999}"
    _, err = replay_file("m.csv", "time,a,model\n" + "\n".join(rows[::-1]), *SMALL)
    assert "999 events in" in err
    assert "1 message or event not used: 1 invalid_name" in err


def test_only_tables_that_can_be_held_are_sorted() -> None:
    decoder = make_decoder("json", {})
    parts = [decoder.decode(part) for part in groups(list(events(100))[::-1], 30)]
    sorting = Sorting()
    assert list(in_time_order(parts, sorting, limit=99)) == parts
    assert sorting == Sorting()
    (whole,) = in_time_order(parts, sorting, limit=100)
    assert sorting == Sorting(late=99, events=100)
    (batch,) = whole.batches
    assert batch.offset.tolist() == list(range(100))
    assert (np.diff(batch.time) > 0).all()
    assert whole.next_offset == 100


def test_events_of_one_time_stay_in_their_order_when_sorted() -> None:
    rows = [{**row, "timestamp": START - i // 10} for i, row in enumerate(events(40))]
    (whole,) = in_time_order([make_decoder("json", {}).decode(group(rows))], Sorting())
    (batch,) = whole.batches
    turns = batch.columns[feature("turn")].numbers.astype(int).tolist()
    assert turns == [*range(30, 40), *range(20, 30), *range(10, 20), *range(10)]


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (1e21, "invalid_time", "lies beyond the year 2200"),
        (7_258_118_400, "invalid_time", "lies beyond the year 2200"),
        (None, "no_time", "neither the event nor its record has a time"),
    ],
)
def test_one_wrong_clock_does_not_date_the_events_after_it(
    replay_file: ReplayFile, value: object, reason: str, said: str
) -> None:
    rows = list(events(3_000, shift_at=1_500))
    rows[5]["timestamp"] = value
    alerts, err = replay_file("fraud.jsonl", "\n".join(map(json.dumps, rows)), *SMALL)
    assert alerts[0]["time"].startswith("2026-01-01T00:2")
    assert f"1 message or event not used: 1 {reason}" in err
    assert said in err


def test_one_wrong_date_in_a_stream_moves_nobody_else(replay_file: ReplayFile) -> None:
    """As in a topic, by the ordering's own rule."""
    rows = list(events(3_000, shift_at=1_500))
    rows[1_200]["timestamp"] = 7_226_582_400  # 2199
    alerts, err = replay_file("fraud.jsonl", "\n".join(map(json.dumps, rows)), *SMALL)
    assert alerts[0]["time"].startswith("2026-01-01T00:2")
    assert "1 event jumps ahead by more than ordering.max_skew, and took the time" in err
    assert "older than one before" not in err


@pytest.mark.parametrize(
    ("name", "text", "said", "advice"),
    [
        ("a.csv", "time,a\n" + "01/02/2026 10:00,1\n" * 30, "30 invalid_time", "mapping.time=null"),
        ("a.jsonl", "age,city\n3,Bonn\n", "2 invalid_json", "must end in .csv"),
        ("a.jsonl", "\x00\x01\x02", "1 invalid_json", "one JSON object a line"),
        ("a.jsonl", '{"model": null}\n', "1 no_model", "source.mapping"),
        ("a.jsonl", f'{{"a": "{"x" * (17 << 20)}"}}\n', "1 too_large", "one event a line"),
        ("a.jsonl", "[]\n", "has no event that can be used", "empty arrays"),
    ],
)
def test_a_file_without_a_usable_event_is_an_error_with_advice(
    replay_file: ReplayFile, name: str, text: str, said: str, advice: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        replay_file(name, text)
    assert advice in (caught.value.hint or "")


def test_rows_are_read_without_the_times_that_cannot_be(replay_file: ReplayFile) -> None:
    text = "time,a\n" + "01/02/2026 10:00,1\n" * 30
    _, err = replay_file("a.csv", text, "source.mapping.time=null")
    assert "30 events in" in err
    assert "the rows have no time" in err


def test_the_column_of_the_time_is_said(replay_file: ReplayFile) -> None:
    _, err = replay_file("a.csv", "time,Date\n0.5,2026-01-01\n")
    assert "the time of the events is Date" in err
    _, err = replay_file("a.csv", "time,a\n0.5,1\n")
    assert "the column time is not taken as the time, as it holds none" in err
    assert "the rows have no time" in err


def test_options_for_files_are_refused_for_topics() -> None:
    options = ReplayOptions("kafka://t", None, "m", None, False)
    with pytest.raises(InputError, match="--model is for files"):
        run_replay(options, settings())


def test_the_journal_is_refused_for_files(replay_file: ReplayFile) -> None:
    with pytest.raises(InputError, match="--journal is for topics"):
        replay_file("a.jsonl", "{}\n", journal=True)


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "fraud.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events(3_000, shift_at=1_500)))
    command = [sys.executable, "-m", "streamdrift", "replay", str(path), "--set", SMALL[0]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 141
    assert b"Error" not in err


@pytest.mark.parametrize("model", [None, "fraud"])
def test_rows_of_json_lines_are_read_in_the_format_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str | None
) -> None:
    """Each line holds ten rows of a data frame; an array per line would be one event."""
    path = tmp_path / "log.jsonl"
    given = {} if model else {"model": "fraud"}
    rows = [
        {
            **given,
            "timestamp": START + i,
            "dataframe_split": {"columns": ["amount"], "data": [[i + j / 10] for j in range(10)]},
        }
        for i in range(60)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = settings("source.format=mlflow")
    run_replay(ReplayOptions(str(path), None, model, None, False), chosen)
    said = capsys.readouterr().err
    assert said.startswith("fraud: ")
    assert "600 events" in said
    assert "the time of the events is timestamp" in said


def test_rows_of_tables_are_read_as_ever_whatever_the_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loans.csv"
    path.write_text("amount\n" + "\n".join(map(str, range(600))))
    run_replay(ReplayOptions(str(path), None, None, None, False), settings("source.format=kserve"))
    assert "600 events" in capsys.readouterr().err
