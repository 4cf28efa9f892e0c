"""`streamdrift tune`: what it prints and writes, and what it refuses."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamdrift.commands.history import History
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.commands.tune import TuneOptions, run_tune
from streamdrift.config import Settings, load_settings
from streamdrift.errors import InputError, OutputError, SettingsError

Tune = Callable[..., tuple[str, str, dict[str, Any]]]
START = 1_767_225_600
SMALL = ("models.*.reference.events=500", "models.*.reference.span=0s")


def settings(*assignments: str) -> Settings:
    return load_settings(None, [*SMALL, *assignments], {})


def events(count: int = 4_000, models: tuple[str, ...] = ("fraud",)) -> str:
    """Return events a second apart: `amount` moves by 0.7 sd after 2,000 of them."""
    draw = random.Random(5)
    rows = [
        {
            "model": model,
            "version": "3",
            "timestamp": START + i,
            "features": {"amount": draw.gauss(0.7 * (i >= 2_000), 1), "age": draw.gauss(0, 1)},
            "prediction": draw.random(),
        }
        for i in range(count)
        for model in models
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "fraud.jsonl"
    path.write_text(events())
    return path


@pytest.fixture
def tune(
    history: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Tune:
    monkeypatch.setenv("COLUMNS", "80")

    def tune(*assignments: str, **options: Any) -> tuple[str, str, dict[str, Any]]:
        written = tmp_path / "out.json"
        given = {"history": History(str(history)), "json": written, **options}
        run_tune(TuneOptions(**given), settings(*assignments))
        out, err = capsys.readouterr()
        return out, err, json.loads(written.read_text()) if written.exists() else {}

    return tune


def by_budget(told: dict[str, Any], place: int = 0) -> dict[str, Any]:
    return {each["budget"]: each for each in told["models"][place]["budgets"]}


def test_budgets_are_told_side_by_side(tune: Tune) -> None:
    out, err, told = tune()
    rows = by_budget(told)
    assert list(rows) == ["1/month", "1/week", "2/week", "1/day", "5/day"]
    assert [budget for budget, row in rows.items() if row["in_settings"]] == ["2/week"]
    lengths = [row["median_run_length"] for row in rows.values()]
    assert lengths == sorted(lengths, reverse=True)
    assert rows["1/month"]["median_run_length"] == pytest.approx(
        rows["5/day"]["median_run_length"] * 150
    )
    found = next(each for each in told["models"][0]["compared"] if "amount of" in each["summary"])
    assert found["missed"] == []
    delays = [each["delay_seconds"] for each in found["found"]]
    assert min(delays) == 0 < max(delays) == delays[0]
    assert "fraud 3: " in err
    assert "fraud: budget 2 a week; " in err
    assert " watched, 1 incident opened" in err
    assert "▸ 2/week" in out
    assert max(map(len, out.splitlines())) <= 80
    assert all(line == line.rstrip() for line in out.splitlines())


def test_each_budget_tells_what_a_replay_under_it_does(
    tune: Tune, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, told = tune(budgets="1/week,2/hour")
    for budget, row in by_budget(told).items():
        alerts = tmp_path / "alerts.jsonl"
        options = ReplayOptions(str(history), alerts, None, None, False)
        run_replay(options, settings(f"models.*.alert_budget={budget}"))
        expected = [json.loads(line) for line in alerts.read_text().splitlines()]
        assert [each["incident"] for each in row["incidents"]] == [
            event["data"]["incident"] for event in expected if event["type"].endswith("opened.v1")
        ]
        summaries = [each["text"] for one in row["incidents"] for each in one["summaries"]]
        assert set(summaries) <= {event["data"]["summary"] for event in expected}
        assert row["incidents"]


def test_the_budget_of_the_settings_is_always_there(tune: Tune) -> None:
    _, _, told = tune("models.fraud.alert_budget=3/day", budgets="1/week,1/month")
    rows = by_budget(told)
    assert list(rows) == ["1/month", "1/week", "3/day"]
    assert rows["3/day"]["in_settings"]


def test_models_have_budgets_of_their_own(tune: Tune, history: Path) -> None:
    history.write_text(events(1_200, ("fraud", "loans")))
    _, _, told = tune("models.fraud.alert_budget=1/week", budgets="1/week,1/day")
    assert [list(by_budget(told, place)) for place in (0, 1)] == [
        ["1/week", "1/day"],
        ["1/week", "2/week", "1/day"],
    ]
    chosen = [
        [row["budget"] for row in model["budgets"] if row["in_settings"]]
        for model in told["models"]
    ]
    assert chosen == [["1/week"], ["2/week"]]


def test_known_changes_are_counted(tune: Tune, tmp_path: Path) -> None:
    known = tmp_path / "known.csv"
    known.write_text(
        "\ufeffmodel,from,until,signal\n"
        f"fraud,{START + 2_000},{START + 2_300},amount\n"
        f"fraud,{START + 100},{START + 200},\n"
        f"loans,{START + 100},{START + 200},\n"
    )
    out, err, told = tune(known=known, budgets="1/week")
    assert by_budget(told)["2/week"]["known_found"] == 1
    assert by_budget(told)["2/week"]["false"] == 0
    assert "1 known change in the time watched" in out
    assert "2 known changes are of no model that was watched then, and not counted" in err
    assert told["summary"][-1] in err


def test_a_history_that_is_too_short_compares_nothing(tune: Tune, history: Path) -> None:
    history.write_text(events(400))
    out, err, told = tune()
    assert out == "no model was watched: there is nothing to compare\n"
    assert "fraud 3: not watched: 400 events are too few" in err
    assert told["models"] == []


def test_without_a_file_nothing_is_written(tune: Tune, tmp_path: Path) -> None:
    _, _, told = tune(json=None, budgets="1/week")
    assert told == {}
    assert [path.name for path in tmp_path.iterdir()] == ["fraud.jsonl"]


def test_rows_without_time_are_spaced(tune: Tune, tmp_path: Path) -> None:
    table = tmp_path / "loans.csv"
    table.write_text("a\n" + "\n".join(str(random.Random(i).random()) for i in range(700)))
    history = History(str(table), model="credit", events_per_day=86_400)
    out, err, told = tune(history=history, budgets="1/week")
    assert told["models"][0]["model"] == "credit"
    assert told["models"][0]["to"] == "2026-01-01T00:11:39.000000Z"
    assert "taken as 86,400 events a day" in err
    assert "─ credit ─" in out


def test_a_history_that_is_not_there_is_named(tune: Tune, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("{}")
    with pytest.raises(InputError, match=r"none\.jsonl does not exist"):
        tune(history=History(str(tmp_path / "none.jsonl")))
    assert (tmp_path / "out.json").read_text() == "{}"


def test_what_is_no_budget_is_refused_before_anything_is_read(tune: Tune) -> None:
    with pytest.raises(SettingsError, match="'often' is no alert budget"):
        tune(budgets="1/week,often", history=History("none.jsonl"))


def test_known_changes_that_cannot_be_read_are_named(tune: Tune, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--known .*none\.csv cannot be read: No such file"):
        tune(known=tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        tune(known=tmp_path)
    (tmp_path / "latin.csv").write_bytes(b"model,from,until\n\xe9,1,2\n")
    with pytest.raises(InputError, match=r"latin\.csv is not UTF-8 text"):
        tune(known=tmp_path / "latin.csv")


@pytest.mark.parametrize("which", ["history", "known"])
def test_the_result_never_takes_the_place_of_what_is_read(
    tune: Tune, history: Path, tmp_path: Path, which: str
) -> None:
    known = tmp_path / "known.csv"
    known.write_text(f"model,from,until\nfraud,{START},{START}\n")
    path = {"history": history, "known": known}[which]
    before = path.read_text()
    with pytest.raises(InputError, match=f"--json .*{path.name} is the file "):
        tune(json=path, known=known)
    assert path.read_text() == before


def test_a_result_that_cannot_be_written_is_named(tune: Tune, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        tune(json=tmp_path / "none" / "out.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named(tune: Tune, history: Path) -> None:
    with pytest.raises(OutputError, match="/dev/full cannot be written: No space left"):
        tune(json=Path("/dev/full"), budgets="1/week")
    command = [sys.executable, "-m", "streamdrift", "tune", str(history), "--set", SMALL[0]]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 7
    assert b"the result cannot be written to the output: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_output_without_some_letters_shows_the_others(history: Path) -> None:
    history.write_text(events(700, ("b\u00e9ton",)))
    command = [sys.executable, "-m", "streamdrift", "tune", str(history), "--set", SMALL[0]]
    done = subprocess.run(
        [*command, "--budgets", "1/week"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        check=True,
    )
    assert b"- b?ton -" in done.stdout


def test_a_reader_that_leaves_ends_it_quietly(history: Path) -> None:
    command = [sys.executable, "-m", "streamdrift", "tune", str(history), "--set", SMALL[0]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 141
    assert b"Error" not in err


def test_names_are_no_commands_to_a_terminal(
    tune: Tune, history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where budgets are compared nor in a replay; JSON has them as they are."""
    name = "x\x1b]0;title\x07\u202e"
    history.write_text(events(models=(name,)))
    out, err, told = tune()
    assert told["models"][0]["model"] == name
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run_replay(ReplayOptions(str(history), None, None, None, False), settings())
    sentences, summary = capsys.readouterr()
    for text in (out, err, sentences, summary):
        assert r"x\x1b]0;title\x07\u202e" in "".join(text.split("\n"))
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
