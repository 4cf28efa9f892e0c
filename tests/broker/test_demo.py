import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from streamdrift.demo.run import DemoOptions, run_demo


def test_demo_finds_all_it_injects_and_cleans_up(embedded: str, tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    options = DemoOptions(seconds=30, plain=True, bootstrap_servers=embedded, json_file=file)
    assert run_demo(options) == 0
    result = json.loads(file.read_bytes())
    assert set(result) == {"started_at", "injections", "false_alarms", "alerts"}
    assert len(result["injections"]) == 10
    alerts = {alert["id"]: alert for alert in result["alerts"]}
    for injection in result["injections"]:
        assert injection["found"]
        told = alerts[injection["alert_id"]]
        assert result["started_at"] < injection["injected_at"] <= told["time"]
        assert 0 <= injection["delay_seconds"] < 5
    assert _demo_topics(embedded) == []


def test_demo_fails_with_the_detectors_off(
    embedded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = DemoOptions(seconds=20, plain=True, bootstrap_servers=embedded, detect=False)
    assert run_demo(options) == 1
    assert "0 of 10 injections found" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_demo_in_order(embedded: str, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "streamdrift", "demo", "--plain"]
    command += ["--bootstrap-servers", embedded]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "injected" in line:
                break
        assert _demo_topics(embedded) != []
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(30) == 128 + number
    assert _demo_topics(embedded) == []


_BROKER_ALONE = """
import time
from streamdrift.demo.broker import embedded_broker
from streamdrift.demo.ending import ended_by_signals
with ended_by_signals(), embedded_broker() as servers:
    print(servers, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(
            signal.SIGKILL,
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do it"),
        ),
    ],
)
def test_broker_ends_with_what_started_it(number: signal.Signals) -> None:
    command = [sys.executable, "-c", _BROKER_ALONE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert _answers(address)
        process.send_signal(number)
        process.wait(30)
    deadline = time.monotonic() + 5
    while _answers(address) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _answers(address)


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _demo_topics(servers: str) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        return [topic for topic in admin.list_topics() if "streamdrift-demo" in topic]
    finally:
        admin.close()
