import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import streamdrift
from streamdrift import __main__ as command_line

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `streamdrift ...` in this process; returns exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["streamdrift", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            command_line.main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


def test_the_version_is_printed(call: Call) -> None:
    assert call("--version") == (0, f"streamdrift {streamdrift.__version__}\n", "")


def test_without_a_command_the_help_is_shown(call: Call) -> None:
    _, out, err = call()
    assert "replay" in out + err


@pytest.mark.parametrize(
    "command", ["run", "replay", "tune", "check", "settings", "state", "demo", "traffic"]
)
def test_every_command_has_help(call: Call, command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    assert "Usage" in out


def test_the_help_of_replay_says_what_a_range_of_a_topic_means(call: Call) -> None:
    _, out, _ = call("replay", "--help")
    assert "times of the Kafka records" in " ".join(out.split())


@pytest.mark.parametrize("command", ["ls", "show", "export", "import", "reset"])
def test_every_command_about_state_has_help(call: Call, command: str) -> None:
    code, out, _ = call("state", command, "--help")
    assert code == 0
    assert f"state {command}" in out


def test_a_file_that_is_no_exported_state_ends_with_its_own_code(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "x.sds").write_bytes(b"rubbish")
    code, out, err = call("state", "show", tmp_path / "x.sds")
    assert (code, out) == (3, "")
    assert "x.sds is no exported state\nhint: " in err


def test_the_help_waits_for_no_heavy_import() -> None:
    program = (
        "import sys, streamdrift.__main__ as m\n"
        "heavy = {'numba', 'numpy', 'kafka', 'pyarrow', 'pydantic', 'prometheus_client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_settings_in_effect_are_printed_as_yaml(call: Call) -> None:
    code, out, err = call("settings", "--set", "name=fraud-watch")
    assert (code, err) == (0, "")
    assert yaml.safe_load(out)["name"] == "fraud-watch"


def test_the_schema_is_json(call: Call) -> None:
    code, out, _ = call("settings", "--json-schema")
    assert code == 0
    assert json.loads(out)["properties"]["kafka"]["description"]


def test_wrong_settings_end_with_their_own_code_and_no_traceback(call: Call) -> None:
    code, out, err = call("settings", "--set", "nam=x", "--set", "http.bind=here")
    assert code == 2
    assert out == ""
    assert err.startswith("streamdrift: 2 mistakes in the settings:\n")
    assert "did you mean `name`?" in err
    assert "\nhint: " in err
    assert "Traceback" not in err


def test_a_settings_file_is_read(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "streamdrift.yaml"
    file.write_text("commit_interval: 5s\n")
    code, out, _ = call("settings", "-c", file)
    assert code == 0
    assert yaml.safe_load(out)["commit_interval"] == "5s"


def test_a_missing_settings_file_is_named(call: Call, tmp_path: Path) -> None:
    code, _, err = call("run", "-c", tmp_path / "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml: No such file or directory" in err


def test_an_unknown_option_is_refused(call: Call) -> None:
    code, _, err = call("replay", "--modle", "x", "file.csv")
    assert code == 2
    assert "No such option" in err


def test_a_file_that_cannot_be_replayed_ends_with_its_own_code(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,a\n01/02/2026 10:00,1\n")
    code, out, err = call("replay", tmp_path / "a.csv")
    assert (code, out) == (3, "")
    assert "1 invalid_time\nthe first invalid_time: offset 0: " in err
    assert "hint: write times as 2026-01-31T12:00:00Z" in err


def test_what_cannot_be_tuned_ends_with_the_code_of_what_is_to_be_mended(
    call: Call, tmp_path: Path
) -> None:
    code, out, err = call("tune", tmp_path / "none.jsonl", "--budgets", "often")
    assert (code, out) == (2, "")
    assert err.startswith("streamdrift: --budgets often: 'often' is no alert budget")
    assert "\nhint: separate budgets by commas" in err
    code, out, err = call("tune", tmp_path / "none.jsonl")
    assert (code, out) == (3, "")
    assert "none.jsonl does not exist\nhint: " in err
    (tmp_path / "a.csv").write_text("a\n1\n")
    code, out, err = call("tune", tmp_path / "a.csv", "--json", tmp_path / "none" / "x.json")
    assert (code, out) == (7, "")
    assert "x.json cannot be written" in err


def test_check_reads_the_settings_before_it_connects(call: Call) -> None:
    code, out, _ = call("check", "--offline")
    assert code == 0
    assert out == "settings: all right, deployment streamdrift\n"


def test_check_says_who_is_told_and_refuses_an_address_that_is_none(call: Call) -> None:
    notify = "alerts.notify=[{url: 'json://host', name: team}]"
    webhook = "alerts.webhook.url=http://host"
    code, out, _ = call("check", "--offline", "--set", notify, "--set", webhook)
    assert code == 0
    assert out.splitlines()[1:] == ["who is told: webhook, notify.team"]
    code, _, err = call("check", "--offline", "--set", "alerts.notify=[{url: 's3cret'}]")
    assert code == 2
    assert "apprise does not know" in err
    assert "s3cret" not in err


@pytest.mark.parametrize(
    ("mode", "groups", "ids"),
    [
        ("standalone", "one, one.sink.webhook, one.sink.notify.team", "one"),
        ("distributed", "one, one.detect, one.sink.webhook, one.sink.notify.team", "one/..."),
    ],
)
def test_check_names_the_groups_that_need_rights(
    call: Call, monkeypatch: pytest.MonkeyPatch, mode: str, groups: str, ids: str
) -> None:
    """Without that of a sink, nobody is told."""
    monkeypatch.setattr("streamdrift.commands.check.inspect_topics", lambda *_: ())
    monkeypatch.setattr("streamdrift.commands.check.contacts_of", lambda _: ())
    notify = "alerts.notify=[{url: 'json://host', name: team}]"
    sets = ("name=one", f"mode={mode}", notify, "alerts.webhook.url=http://host")
    code, out, _ = call("check", *(word for each in sets for word in ("--set", each)))
    assert code == 0
    lines = out.splitlines()
    assert f"consumer groups (read): {groups}" in lines
    assert f"transactional ids (write): {ids}" in lines


def test_check_says_that_no_broker_answers(call: Call) -> None:
    code, _, err = call(
        "check",
        "--set",
        "kafka.bootstrap_servers=127.0.0.1:1",
        "--set",
        "kafka.bootstrap_timeout=100ms",
    )
    assert code == 4
    assert "127.0.0.1:1" in err
    assert "hint: " in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cycle", "soon"], "--cycle soon: 'soon' is no duration"),
        (["--rate", "2", "--cycle", "1h"], "7,200 events of a model in a cycle are too few"),
    ],
)
def test_traffic_without_a_use_is_refused(call: Call, options: list[str], said: str) -> None:
    code, _, err = call("traffic", "topic", *options)
    assert code == 2
    assert said in err


def test_traffic_says_that_no_broker_answers(call: Call) -> None:
    settings = ["kafka.bootstrap_servers=127.0.0.1:1", "kafka.bootstrap_timeout=100ms"]
    code, _, err = call("traffic", "topic", *(f"--set={each}" for each in settings))
    assert code == 4
    assert "127.0.0.1:1" in err
