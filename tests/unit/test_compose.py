"""The compose file is one, and its parts fit together; tests/broker/test_stack.py runs them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deploy.prometheus.metrics_page import each_of, read_rules
from streamdrift.__main__ import app
from streamdrift.config import load_settings
from tests.programs import program

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
TOKEN = ROOT / "deploy" / "compose" / "http-token"
SERVICES: dict[str, Any] = COMPOSE["services"]
EACH = pytest.mark.parametrize("name", SERVICES)


def test_it_keeps_to_the_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@EACH
def test_what_is_mounted_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *options = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), volume
            assert options == ["ro"], volume
        else:
            assert source in COMPOSE["volumes"], volume
        assert target.startswith("/")


@EACH
def test_versions_are_pinned_and_ports_are_this_machines_only(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image == "streamdrift" or re.fullmatch(r"v?\d+\.\d+\.\d+", tag), tag
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@EACH
def test_what_is_waited_for_can_say_that_it_is_healthy(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize(
    "name", [n for n in SERVICES if SERVICES[n]["image"] == "streamdrift:local"]
)
def test_streamdrift_takes_its_command(name: str, tmp_path: Path) -> None:
    command, *arguments = SERVICES[name]["command"]
    found = typer.main.get_group(app).commands[command]
    assert found.make_context(command, [str(each) for each in arguments])
    mounted = dict(volume.split(":")[1::-1] for volume in SERVICES[name].get("volumes", []))
    file = None
    if "--config" in arguments:
        text = (ROOT / mounted[arguments[arguments.index("--config") + 1]]).read_text()
        file = tmp_path / "streamdrift.yaml"
        file.write_text(text.replace("/run/secrets/http-token", str(TOKEN)))
    settings = load_settings(file, environment=SERVICES[name].get("environment", {}))
    assert (
        settings.kafka.bootstrap_servers
        in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert file is None or settings.http.bind == "0.0.0.0:8410"


@EACH
def test_the_token_is_where_it_is_read(name: str) -> None:
    assert COMPOSE["secrets"] == {"http-token": {"file": "./deploy/compose/http-token"}}
    files = [
        volume.split(":")[0] for volume in SERVICES[name].get("volumes", []) if volume[0] == "."
    ]
    texts = [(ROOT / each / "prometheus.yml", ROOT / each) for each in files]
    read = any(
        "/run/secrets/http-token" in place.read_text()
        for each in texts
        for place in each
        if place.is_file()
    )
    assert read == (SERVICES[name].get("secrets") == ["http-token"])


def test_prometheus_finds_the_others(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    config = tmp_path / "prometheus.yml"
    source = ROOT / "deploy" / "prometheus"
    text = (source / "prometheus.yml").read_text()
    config.write_text(text.replace("/run/secrets/http-token", str(TOKEN)))
    (tmp_path / "streamdrift.rules.yaml").symlink_to(source / "streamdrift.rules.yaml")
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    read = yaml.safe_load(config.read_text())
    targets = read["alerting"]["alertmanagers"] + [
        each for job in read["scrape_configs"] for each in job["static_configs"]
    ]
    flat = re.findall(r"(\w+):(\d+)", str(targets))
    assert {("alertmanager", "9093"), ("streamdrift", "8410")} == set(flat)
    assert all(f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"] for host, port in flat)


def test_each_incident_pages_once() -> None:
    """Of drift streamdrift tells Alertmanager by itself: no rule that is loaded does, too."""
    folder = ROOT / "deploy" / "prometheus"
    loaded = yaml.safe_load((folder / "prometheus.yml").read_text())["rule_files"]
    rules = [rule for each in loaded for rule in each_of(read_rules(folder / each))]
    settings = yaml.safe_load((ROOT / "deploy" / "compose" / "streamdrift.yaml").read_text())
    assert "alertmanager" in settings["alerts"]
    told = [rule["alert"] for rule in rules if "incidents_open" in rule["expr"] and "alert" in rule]
    assert told == []


def test_alertmanager_takes_its_settings() -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    config = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    done = subprocess.run([amtool, "check-config", config], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_provisioned_with_the_dashboards() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/streamdrift.yaml").read_text())[
        "providers"
    ]
    grafana = SERVICES["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "deploy/grafana/dashboards" / Path(home).name).exists()
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "${PROMETHEUS_URL}"
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_the_head_names_the_ports_that_are_open() -> None:
    head = FILE.read_text().partition("name: ")[0]
    ports = {
        port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])
    }
    assert set(re.findall(r":(\d{4})\b", head)) == ports
