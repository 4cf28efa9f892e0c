"""A real Apache Kafka broker in a process of its own, from the jars of tests/broker/pom.xml."""

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

ROOT = Path(__file__).parent.parent
POM = ROOT / "tests" / "broker" / "pom.xml"
JARS = ROOT / ".cache" / "kafka-4.3.0"
USER, PASSWORD = "tester", "a secret"

_START_SECONDS = 60.0


class UnavailableError(Exception):
    """This machine cannot run the broker; the message says what is missing."""


def _missing_part() -> str | None:
    """Return what this machine lacks to run the broker, as far as it can be seen at once."""
    if shutil.which("java") is None:
        return "no Java: install a JRE, 17 or newer"
    if not (JARS / "complete").exists() and shutil.which("mvn") is None:
        return "no Maven: install it (maven) to fetch Apache Kafka's jars"
    return None


def fetch_jars() -> Path:
    """Return the folder of the broker's jars, fetched once with Maven."""
    missing = _missing_part()
    if missing is not None:
        raise UnavailableError(missing)
    if (JARS / "complete").exists():
        return JARS
    JARS.mkdir(parents=True, exist_ok=True)
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UnavailableError(f"Maven could not fetch Apache Kafka's jars: {' '.join(tail)}")
    (JARS / "complete").touch()
    return JARS


class RealKafka:
    """One node, broker and controller at once, with its data under `folder`.

    `bootstrap` is a plain listener; `sasl_bootstrap` asks for SASL PLAIN as `USER` with
    `PASSWORD`. `options` lie over the server's properties.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        self._jars = fetch_jars()
        self._folder = folder
        port, sasl, controller = _free_ports(3)
        self.bootstrap = f"127.0.0.1:{port}"
        self.sasl_bootstrap = f"127.0.0.1:{sasl}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        properties = _properties(folder, port, sasl, controller) | dict(options or {})
        self._properties = folder / "server.properties"
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        # A dash at its beginning would make an option of it.
        cluster = base64.b64encode(uuid.uuid4().bytes, altchars=b"__").decode().rstrip("=")
        arguments = ["format", "-t", cluster, "-c", str(self._properties)]
        subprocess.run(
            self._java("kafka.tools.StorageTool", arguments), check=True, capture_output=True
        )

    def _java(self, main: str, arguments: list[str]) -> list[str]:
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *options, "-cp", f"{self._jars}/*", main, *arguments]

    def start(self) -> None:
        """Start the node and return when it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", [str(self._properties)]),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(KafkaError, OSError):
                socket.create_connection(_address(self.bootstrap), timeout=0.2).close()
                admin = KafkaAdminClient(
                    bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2_000
                )
                admin.list_topics()
                admin.close()
                return
            time.sleep(0.1)
        self.stop()
        log_tail = (self._folder / "server.log").read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"Apache Kafka did not start:\n{log_tail}")

    def stop(self, *, kill: bool = False) -> None:
        """End the node: in order, or as a crash would."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def damage(self, topic: str, value: bytes) -> None:
        """Change one byte of a value on disk, as a failing disk would, while stopped."""
        (segment,) = (self._folder / "data" / f"{topic}-0").glob("*.log")
        content = bytearray(segment.read_bytes())
        content[content.index(value)] ^= 1
        segment.write_bytes(content)


def _properties(folder: Path, port: int, sasl: int, controller: int) -> dict[str, str]:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},"
        f"CONTROLLER://127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{login} required username="{USER}"'
        f' password="{PASSWORD}" user_{USER}="{PASSWORD}";',
        "log.dirs": str(folder / "data"),
        "num.partitions": "1",
        "auto.create.topics.enable": "false",
        "message.max.bytes": "20971520",
        "replica.fetch.max.bytes": "20971520",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "2",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "log.retention.check.interval.ms": "1000",
        # Events of tests bear times of the past.
        "log.retention.ms": "-1",
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host, int(port)


def running_in_ci() -> bool:
    """Return whether a missing part must fail the run instead of shortening it."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
