"""The systemd unit is one, and what it runs is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from streamdrift.__main__ import app
from streamdrift.config import load_settings
from streamdrift.errors import ConnectionsError, FencedError, SettingsError, StateError
from tests.programs import program

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "streamdrift.service"
PROGRAM = "/opt/streamdrift/bin/streamdrift"
COMMANDS = re.findall(rf"^Exec\w+={PROGRAM} (.*)$", UNIT.read_text(), re.MULTILINE)


def _option(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert isinstance(value, str)
    return value


def _analyze(*arguments: str | Path) -> str:
    command = [program("systemd-analyze", "systemd"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Of an option that it does not know, systemd warns and goes on.
    assert "Unknown" not in done.stderr
    return done.stdout


def test_systemd_takes_it(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    _analyze("verify", "--man=no", copy)


def test_it_may_do_little() -> None:
    said = _analyze("security", "--offline=true", "--no-pager", UNIT)
    (exposure,) = re.findall(r"exposure level for streamdrift.service: (\d+\.\d+)", said)
    assert float(exposure) <= 2.0


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_exist(line: str) -> None:
    command, *arguments = line.split()
    assert typer.main.get_group(app).commands[command].make_context(command, arguments)


def test_what_cannot_be_mended_by_a_start_is_not_started_again() -> None:
    codes = {int(code) for code in _option("RestartPreventExitStatus").split()}
    assert codes == {each.exit_code for each in (SettingsError, StateError, FencedError)}


def test_brokers_that_are_away_are_tried_for_as_long_as_it_takes() -> None:
    assert _option("Restart") == "on-failure"
    assert _option("StartLimitIntervalSec") == "0"
    assert str(ConnectionsError.exit_code) not in _option("RestartPreventExitStatus").split()


def test_settings_that_are_wrong_end_the_process_whose_exit_code_is_heeded() -> None:
    """That of an ExecStartPre is not: it would be started again for ever."""
    assert [line.split()[0] for line in COMMANDS] == ["run"]


def test_it_is_given_the_time_to_commit() -> None:
    seconds = int(_option("TimeoutStopSec").removesuffix("s"))
    assert seconds * 1e6 > load_settings(environment={}).shutdown_timeout
