"""How signals stop the service."""

import os
import signal
import subprocess
import sys
import time
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from streamdrift.commands import run
from streamdrift.commands.run import stopped_by_signals
from streamdrift.serving.service import Service


class _Service:
    connecting = False
    stops = 0

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def test_the_first_signal_asks_and_the_second_leaves_at_once(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_ONE_WISH", 0.0)
    service: Any = _Service()
    with stopped_by_signals(cast(Service, service), 30):
        os.kill(os.getpid(), signal.SIGTERM)
        assert (service.stops, exits) == (1, [])
        time.sleep(0.01)
        with capture_logs() as said:
            os.kill(os.getpid(), signal.SIGINT)
    assert (service.stops, exits) == (1, [128 + signal.SIGINT])
    assert [(each["event"].split(":")[0], each["reason"]) for each in said] == [
        ("left at once", "a second signal")
    ]


def test_one_wish_may_come_as_two_signals(exits: list[int]) -> None:
    service: Any = _Service()
    with stopped_by_signals(cast(Service, service), 30):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert (service.stops, exits) == (1, [])


def test_who_does_not_end_in_time_is_ended(exits: list[int]) -> None:
    service: Any = _Service()
    with stopped_by_signals(cast(Service, service), 0.05), capture_logs() as said:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
    assert exits == [128 + signal.SIGTERM]
    assert [each["reason"] for each in said] == ["shutdown_timeout is over"]


def test_who_has_ended_is_left_alone(exits: list[int]) -> None:
    service: Any = _Service()
    with stopped_by_signals(cast(Service, service), 0.1):
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)
    assert exits == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_waits_for_a_broker_leaves_when_asked() -> None:
    settings = ("kafka.bootstrap_servers=127.0.0.1:1", "http.bind=null")
    command = [sys.executable, "-m", "streamdrift", "run"]
    command += [part for each in settings for part in ("--set", each)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "starting" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
