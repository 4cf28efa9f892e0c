"""The services of docker-compose.yml as processes of this machine, on ports that are free.

Each runs the command that the file has for it. What differs: addresses, the folders of containers,
and that Apache Kafka's settings are written by the class that its image calls for that.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from tests.programs import program
from tests.real_kafka import ROOT, fetch_jars, free_ports

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
_SECRETS = ROOT / "deploy" / "compose"
_PATIENCE = 180.0
"""Seconds; kernels that are compiled first take most of it."""
_LOGGING = "Configuration: {Loggers: {Root: {level: WARN}}}\n"


class Stack:
    """The processes by the names of their services, each with a folder, and where they answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("streamdrift:8410", "prometheus:9090", "alertmanager:9093", "kafka:19092")
        ports = free_ports(len(names) + 2)
        self._host, self._controller = ports[-2:]
        self.addresses: Mapping[str, str] = {
            name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)
        }
        self._stack = ExitStack()

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def here(self, text: str, service: str = "") -> str:
        """Return text with addresses as they are here: of a service of its own, and of others."""
        for name, address in self.addresses.items():
            host, _, port = name.partition(":")
            text = text.replace(name, address).replace("/run/secrets", str(_SECRETS))
            if host == service:
                text = text.replace(f"0.0.0.0:{port}", address)
                text = text.replace(f"127.0.0.1:{port}", address)
        return text

    def start(
        self, service: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a process of a service, which ends with the stack; its log is in the folder."""
        with (self.folder / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._stack.callback(_end, process)
        return process

    def healthy(self, service: str) -> bool:
        """Run the service's health check, with the programs that are here."""
        _, name, *arguments = COMPOSE[service]["healthcheck"]["test"]
        command = [*_PROGRAMS[name](), *(self.here(each, service) for each in arguments)]
        return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0

    def wait(self, service: str) -> None:
        """Return when the service is healthy; fail where it does not come to be."""
        deadline = time.monotonic() + _PATIENCE
        while not self.healthy(service):
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.3)

    def log(self, service: str) -> str:
        """Return the end of what a service's processes wrote."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3_000:]

    def run(self, service: str, *more: str) -> "subprocess.Popen[bytes]":
        """Start one of ours, as the file says and with more arguments."""
        given = COMPOSE[service].get("environment", {})
        environment = {name: self.here(str(value)) for name, value in given.items()}
        return self.start(service, self.command(service, *more), environment)

    def command(self, service: str, *more: str) -> list[str]:
        """Return the command of one of ours, with its settings as they are here."""
        arguments = [str(each) for each in COMPOSE[service]["command"]]
        for volume in COMPOSE[service].get("volumes", []):
            source, target, *_ = volume.split(":")
            if target in arguments:
                settings = self.folder / f"{service}.yaml"
                settings.write_text(self.here((ROOT / source).read_text(), "streamdrift"))
                arguments[arguments.index(target)] = str(settings)
        return [sys.executable, "-m", "streamdrift", *arguments, *more]

    def start_kafka(self) -> None:
        """Start the broker and wait until its health check says that it is well."""
        environment = {
            name: self._for_kafka(str(value))
            for name, value in COMPOSE["kafka"]["environment"].items()
        }
        default, mounted, final = (self.folder / part for part in ("default", "mounted", "final"))
        for each in (default, mounted, final):
            each.mkdir()
        (default / "server.properties").touch()
        for name in ("log4j2.yaml", "tools-log4j2.yaml"):
            (default / name).write_text(_LOGGING)
        prepare = [*_java("kafka.docker.KafkaDockerWrapper"), "setup"]
        prepare += ["--default-configs-dir", str(default), "--mounted-configs-dir", str(mounted)]
        prepare += ["--final-configs-dir", str(final)]
        known = {**os.environ, **environment}
        subprocess.run(prepare, env=known, check=True, capture_output=True)
        self.start("kafka", [*_java("kafka.Kafka"), str(final / "server.properties")])
        self.wait("kafka")

    def _for_kafka(self, text: str) -> str:
        here = self.addresses["kafka:19092"]
        text = text.replace("kafka:19092", here).replace("INSIDE://:19092", f"INSIDE://{here}")
        text = text.replace("kafka:9093", f"127.0.0.1:{self._controller}")
        text = text.replace("//:9093", f"//127.0.0.1:{self._controller}")
        text = text.replace("//:9092", f"//127.0.0.1:{self._host}")
        text = text.replace("localhost:9092", f"127.0.0.1:{self._host}")
        return text.replace("/var/lib/kafka", str(self.folder / "kafka"))

    def start_alertmanager(self) -> None:
        """Start Alertmanager, alone and not to be joined by others, and wait for it."""
        self._start_one("alertmanager", "prometheus-alertmanager", "prometheus-alertmanager")

    def start_prometheus(self, jobs: Mapping[str, Sequence[str]]) -> None:
        """Start Prometheus, which is quicker here, with jobs and their targets beside its own."""
        self._start_one("prometheus", "prometheus", "prometheus", jobs)

    def _start_one(
        self, service: str, name: str, package: str, jobs: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        source = ROOT / "deploy" / service
        target = self.folder / service
        target.mkdir()
        for file in [*source.glob("*.yml"), *source.glob("*.yaml")]:
            (target / file.name).write_text(self.here(file.read_text()))
        if jobs is not None:
            _quicker(target / "prometheus.yml", jobs)
        paths = {f"/etc/{service}": str(target), f"={_DATA[service]}": f"={target}/data"}
        command = [program(name, package)]
        for each in COMPOSE[service]["command"]:
            command.append(_replaced(str(each), paths))
        (own,) = (address for key, address in self.addresses.items() if key.startswith(service))
        command.append(f"--web.listen-address={own}")
        if service == "alertmanager":
            command.append("--cluster.listen-address=")
        self.start(service, command)
        self.wait(service)


_DATA = {"prometheus": "/prometheus", "alertmanager": "/alertmanager"}
_PROGRAMS = {
    "/opt/kafka/bin/kafka-broker-api-versions.sh": lambda: _java(
        "org.apache.kafka.tools.BrokerApiVersionsCommand"
    ),
    "python3": lambda: [sys.executable],
    "wget": lambda: [program("wget", "wget")],
}
"""What stands for the programs of the images that the health checks call."""


def _java(main: str) -> list[str]:
    options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *options, "-cp", f"{fetch_jars()}/*", main]


def _replaced(text: str, by: Mapping[str, str]) -> str:
    for old, new in by.items():
        text = text.replace(old, new)
    return text


def _quicker(file: Path, jobs: Mapping[str, Sequence[str]]) -> None:
    config = yaml.safe_load(file.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (own,) = config["scrape_configs"]
    config["scrape_configs"] += [
        {**own, "job_name": job, "static_configs": [{"targets": list(targets)}]}
        for job, targets in jobs.items()
    ]
    file.write_text(yaml.safe_dump(config))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
