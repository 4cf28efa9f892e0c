"""A real Apache Kafka broker in a process of its own, from the jars of tests/broker/pom.xml."""

import base64
import contextlib
import fcntl
import hashlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

ROOT = Path(__file__).parent.parent
POM = ROOT / "tests" / "broker" / "pom.xml"
JARS = ROOT / ".cache" / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
"""What the file above names: another one is fetched anew."""
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
    with (JARS / "lock").open("w") as lock:
        # Test processes run side by side: one fetches, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (JARS / "complete").exists():
            _fetch_jars()
    return JARS


def _fetch_jars() -> None:
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UnavailableError(f"Maven could not fetch Apache Kafka's jars: {' '.join(tail)}")
    (JARS / "complete").touch()


@dataclass(frozen=True, slots=True)
class Seat:
    """A node's place in its cluster: its number, and the controllers' ports by number."""

    number: int
    controllers: Mapping[int, int]
    cluster: str


class RealKafka:
    """One node, broker and controller at once, with its data under `folder`.

    `bootstrap` is a plain listener; `sasl_bootstrap` asks for SASL PLAIN as `USER` with
    `PASSWORD`; `hidden_port` is a plain one that tells clients to come to `proxy_port`, where
    that is given. `options` lie over the server's properties. Without a `seat` the node is a
    cluster of its own.
    """

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, str] | None = None,
        *,
        proxy_port: int | None = None,
        seat: Seat | None = None,
    ) -> None:
        self._jars = fetch_jars()
        self._folder = folder
        port, sasl, self.hidden_port, controller = free_ports(4)
        seat = seat or Seat(1, {1: controller}, _cluster_id())
        self.bootstrap = f"127.0.0.1:{port}"
        self.sasl_bootstrap = f"127.0.0.1:{sasl}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        properties = _properties(folder, port, sasl, seat) | dict(options or {})
        if proxy_port is not None:
            properties |= _behind_proxy(properties, self.hidden_port, proxy_port)
        self._properties = folder / "server.properties"
        self._properties.write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        arguments = ["format", "-t", seat.cluster, "-c", str(self._properties)]
        subprocess.run(
            self._java("kafka.tools.StorageTool", arguments), check=True, capture_output=True
        )

    def _java(self, main: str, arguments: list[str]) -> list[str]:
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *options, "-cp", f"{self._jars}/*", main, *arguments]

    def start(self) -> None:
        """Start the node and return when it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the node without waiting for it: in a cluster it answers with the others."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", [str(self._properties)]),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when the node answers; raise RuntimeError where it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
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


class KafkaCluster:
    """Three nodes, of which any may be lost: all topics are on all, and two must have a record."""

    def __init__(self, folder: Path) -> None:
        numbers = (1, 2, 3)
        controllers = dict(zip(numbers, free_ports(len(numbers)), strict=True))
        cluster = _cluster_id()
        self.nodes: Sequence[RealKafka] = [
            RealKafka(folder / str(number), _REPLICATED, seat=Seat(number, controllers, cluster))
            for number in numbers
        ]

    @property
    def bootstrap(self) -> str:
        """The plain listeners of all nodes."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start all nodes and return when they answer."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()

    def stop(self, *, kill: bool = False) -> None:
        """End all nodes: in order, or as a crash would."""
        for node in self.nodes:
            node.stop(kill=kill)


_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # A node that is gone is noticed after 3 s instead of 9.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


def _cluster_id() -> str:
    # A dash at its beginning would make an option of it.
    return base64.b64encode(uuid.uuid4().bytes, altchars=b"__").decode().rstrip("=")


def _behind_proxy(properties: Mapping[str, str], port: int, proxy_port: int) -> dict[str, str]:
    """Return what adds a listener whose clients are told to come to another port."""
    listeners, kinds = properties["listeners"], properties["listener.security.protocol.map"]
    advertised = [each for each in listeners.split(",") if not each.startswith("CONTROLLER")]
    return {
        "listeners": f"{listeners},PROXIED://127.0.0.1:{port}",
        "advertised.listeners": ",".join([*advertised, f"PROXIED://127.0.0.1:{proxy_port}"]),
        "listener.security.protocol.map": f"{kinds},PROXIED:PLAINTEXT",
    }


def _properties(folder: Path, port: int, sasl: int, seat: Seat) -> dict[str, str]:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    voters = [f"{number}@127.0.0.1:{at}" for number, at in seat.controllers.items()]
    return {
        "process.roles": "broker,controller",
        "node.id": str(seat.number),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},"
        f"CONTROLLER://127.0.0.1:{seat.controllers[seat.number]}",
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


def free_ports(count: int) -> list[int]:
    """Return ports of loopback on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host, int(port)
