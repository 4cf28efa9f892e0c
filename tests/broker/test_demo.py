import json
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from streamdrift.demo.run import DemoOptions, run_demo


def test_demo_finds_all_it_injects_and_cleans_up(embedded: str, tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    options = DemoOptions(seconds=30, plain=True, bootstrap_servers=embedded, json_file=file)
    assert run_demo(options) == 0
    result = json.loads(file.read_bytes())
    assert set(result) == {"injections", "false_alarms", "alerts"}
    assert len(result["injections"]) == 10
    ids = {alert["id"] for alert in result["alerts"]}
    for injection in result["injections"]:
        assert injection["found"]
        assert injection["alert_id"] in ids
        assert 0 <= injection["delay_seconds"] < 5
    admin = KafkaAdminClient(bootstrap_servers=embedded)
    try:
        assert [topic for topic in admin.list_topics() if "streamdrift-demo" in topic] == []
    finally:
        admin.close()


def test_demo_fails_with_the_detectors_off(
    embedded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = DemoOptions(seconds=20, plain=True, bootstrap_servers=embedded, detect=False)
    assert run_demo(options) == 1
    assert "0 of 10 injections found" in capsys.readouterr().out
