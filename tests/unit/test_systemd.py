"""The systemd units are such, and what they run is there."""

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

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICE, GATEWAY = FOLDER / "streamdrift.service", FOLDER / "streamdrift-gateway.service"
EACH = pytest.mark.parametrize("unit", [SERVICE, GATEWAY], ids=lambda unit: unit.stem)
PROGRAM = "/opt/streamdrift/bin/streamdrift"


def _options(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def _option(unit: Path, name: str) -> str:
    (value,) = _options(unit, name)
    return value


def _analyze(*arguments: str | Path) -> str:
    command = [program("systemd-analyze", "systemd"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Of an option that it does not know, systemd warns and goes on.
    assert "Unknown" not in done.stderr
    return done.stdout


def test_no_unit_is_left_out() -> None:
    assert {*FOLDER.iterdir()} == {SERVICE, GATEWAY}


@EACH
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, sys.executable))
    _analyze("verify", "--man=no", copy)


@EACH
def test_it_may_do_little(unit: Path) -> None:
    said = _analyze("security", "--offline=true", "--no-pager", unit)
    (exposure,) = re.findall(rf"exposure level for {unit.name}: (\d+\.\d+)", said)
    assert float(exposure) <= 2.0


@EACH
def test_its_command_exists(unit: Path) -> None:
    place, command, *arguments = _option(unit, "ExecStart").split()
    assert place == PROGRAM
    assert typer.main.get_group(app).commands[command].make_context(command, arguments)


def test_what_cannot_be_mended_by_a_start_is_not_started_again() -> None:
    codes = {int(code) for code in _option(SERVICE, "RestartPreventExitStatus").split()}
    assert codes == {each.exit_code for each in (SettingsError, StateError, FencedError)}
    assert _option(GATEWAY, "RestartPreventExitStatus") == str(SettingsError.exit_code)


@EACH
def test_brokers_that_are_away_are_tried_for_as_long_as_it_takes(unit: Path) -> None:
    assert _option(unit, "Restart") == "on-failure"
    assert _option(unit, "StartLimitIntervalSec") == "0"
    assert str(ConnectionsError.exit_code) not in _option(unit, "RestartPreventExitStatus").split()


@EACH
def test_settings_that_are_wrong_end_the_process_whose_exit_code_is_heeded(unit: Path) -> None:
    """That of an ExecStartPre is not: it would be started again for ever."""
    assert not _options(unit, "ExecStartPre")


@EACH
def test_it_is_given_the_time_to_finish(unit: Path) -> None:
    seconds = int(_option(unit, "TimeoutStopSec").removesuffix("s"))
    assert seconds * 1e6 > load_settings(environment={}).shutdown_timeout


@EACH
def test_it_is_up_when_it_says_so(unit: Path) -> None:
    assert _option(unit, "Type") == "notify"
    assert "AF_UNIX" in _option(unit, "RestrictAddressFamilies").split()


def test_a_loop_that_hangs_is_ended() -> None:
    assert _option(SERVICE, "WatchdogSec") == "1min"
    # The gateway has no loop that says so.
    assert not _options(GATEWAY, "WatchdogSec")


@EACH
def test_what_is_loaded_is_where_the_settings_are_told_to_look(unit: Path) -> None:
    loaded = [each.partition(":")[0] for each in _options(unit, "LoadCredential")]
    assert "kafka-password" in loaded
    operating = (FOLDER.parents[1] / "docs" / "operating.md").read_text() + unit.read_text()
    assert f"/run/credentials/{unit.name}/{loaded[0]}" in operating
