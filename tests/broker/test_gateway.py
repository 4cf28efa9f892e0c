"""The gateway on a real Apache Kafka: what it has accepted is there, whatever happens."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.kafka.clients import KafkaSettings
from tests.deployment import deployment, serving, wait_until
from tests.exactly_once import records
from tests.formats import KSERVE, kserve_headers
from tests.programs import unavailable
from tests.real_kafka import RealKafka, UnavailableError, free_ports
from tests.topic_maker import TopicMaker

_KINDS = ("request", "response")
_BODIES = {"request": {"instances": [[6.8, 2.8]]}, "response": {"predictions": [0.25]}}


@contextmanager
def gateway(
    folder: Path, bootstrap: str, topic: str, *options: str
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run `streamdrift gateway`; yield its address and the process."""
    (port,) = free_ports(1)
    settings = [
        f"kafka.bootstrap_servers={bootstrap}",
        f"gateway.bind=127.0.0.1:{port}",
        f"gateway.topic={topic}",
        *options,
    ]
    command = [sys.executable, "-m", "streamdrift", "gateway"]
    command += [word for each in settings for word in ("--set", each)]
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            assert wait_until(lambda: _answers(address)), (folder / "gateway.log").read_text()
            yield address, process
        finally:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/healthz", timeout=1).status_code == 200
    except httpx2.HTTPError:
        return False


def headers_of(kind: str, identity: str) -> dict[str, str]:
    """Return the headers with which KServe's logger posts."""
    kafka = {key: value.decode() for key, value in kserve_headers(kind, id=identity) if value}
    return {key.replace("ce_", "ce-"): value for key, value in kafka.items()}


def post(session: httpx2.Client, address: str, kind: str, identity: str) -> httpx2.Response:
    return session.post(
        address, content=json.dumps(_BODIES[kind]), headers=headers_of(kind, identity)
    )


def written(connection: KafkaSettings, topic: str) -> set[tuple[str, str]]:
    """Return type and id of all events of a topic."""
    found = set()
    for _, headers, _ in records(connection, topic):
        given = dict(headers)
        found.add((given["ce_type"].decode().rpartition(".")[2], given["ce_id"].decode()))
    return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealKafka]:
    """A node that the test may kill."""
    try:
        broker = RealKafka(tmp_path / "kafka")
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")
    broker.start()
    yield broker
    broker.stop()


def test_what_kserve_posts_is_served_and_replayed(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The gateway makes the topic; a request and its response go to one partition of it."""
    topic = f"{name}-predictions"
    make_topic.made(kafka_connection, topic)
    servers = kafka_connection.bootstrap_servers
    with gateway(tmp_path, servers, topic) as (address, _), httpx2.Client() as session:
        for number in range(50):
            for kind in _KINDS:
                assert post(session, address, kind, f"r-{number}").status_code == 202
        structured = KSERVE.sent[7]
        json_type = {"content-type": "application/cloudevents+json"}
        answer = session.post(address, content=structured.value, headers=json_type)
        assert answer.status_code == 202
        batch = b"[" + structured.value + b"," + structured.value + b"]"
        json_type = {"content-type": "application/cloudevents-batch+json"}
        assert session.post(address, content=batch, headers=json_type).status_code == 202
        assert httpx2.get(f"{address}/readyz").status_code == 200
        assert "streamdrift_gateway_events_total 103.0" in session.get(f"{address}/metrics").text
    settings = deployment(
        kafka_connection, name, 1_000, {"source": {"predictions": [topic], "format": "kserve"}}
    )
    with serving(settings) as metrics:
        assert wait_until(lambda: metrics.events() >= 103)
    assert metrics.events() == 103
    capfd.readouterr()
    run_replay(ReplayOptions(f"kafka://{topic}", None, None, None, False), settings)
    assert "103 events" in capfd.readouterr().err


def test_nothing_accepted_is_lost_when_the_broker_is_killed(
    node: RealKafka, name: str, tmp_path: Path
) -> None:
    """Four clients post without a pause while the broker is killed and comes back."""
    accepted: list[tuple[str, str]] = []
    refused: list[httpx2.Response] = []
    stop = threading.Event()
    options = ("gateway.timeout=2s",)
    with gateway(tmp_path, node.bootstrap, name, *options) as (address, _):

        def client(number: int) -> None:
            with httpx2.Client(timeout=30) as session:
                for turn in range(1_000_000):
                    if stop.is_set():
                        return
                    kind, identity = _KINDS[turn % 2], f"{number}-{turn // 2}"
                    answer = post(session, address, kind, identity)
                    if answer.status_code == 202:
                        accepted.append((kind, identity))
                    else:
                        refused.append(answer)
                        time.sleep(0.1)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for each in clients:
            each.start()
        assert wait_until(lambda: len(accepted) > 200)
        node.stop(kill=True)
        assert wait_until(lambda: len(refused) > 20)
        assert httpx2.get(f"{address}/readyz", timeout=30).status_code == 503
        node.start()
        before = len(accepted)
        assert wait_until(lambda: len(accepted) > before + 200)
        stop.set()
        for each in clients:
            each.join()
    assert {answer.status_code for answer in refused} == {503}
    assert all(answer.headers["retry-after"] for answer in refused)
    there = written(KafkaSettings(bootstrap_servers=node.bootstrap), name)
    assert set(accepted) <= there
    log = (tmp_path / "gateway.log").read_text()
    assert "events are refused until the brokers answer" in log
    assert "the brokers answer again" in log


def test_without_brokers_it_starts_and_refuses(name: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    options = ("kafka.bootstrap_timeout=500ms", "gateway.timeout=1s")
    with (
        gateway(tmp_path, f"127.0.0.1:{port}", name, *options) as (address, process),
        httpx2.Client(timeout=30) as session,
    ):
        answer = post(session, address, "request", "a")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "post again later" in answer.json()["detail"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_a_stop_finishes_what_was_begun(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, tmp_path: Path
) -> None:
    make_topic(kafka_connection, name, 3)
    accepted: list[tuple[str, str]] = []
    broken: list[Exception] = []
    servers = kafka_connection.bootstrap_servers
    with gateway(tmp_path, servers, name) as (address, process):

        def client(number: int) -> None:
            with httpx2.Client(timeout=30) as session:
                try:
                    for turn in range(1_000_000):
                        identity = f"{number}-{turn}"
                        if post(session, address, "request", identity).status_code == 202:
                            accepted.append(("request", identity))
                except httpx2.HTTPError as error:
                    broken.append(error)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for each in clients:
            each.start()
        assert wait_until(lambda: len(accepted) > 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        for each in clients:
            each.join()
    assert len(broken) == len(clients)
    there = written(kafka_connection, name)
    assert set(accepted) <= there
    # Of each client at most the one event is there that it was not told of.
    assert len(there) <= len(accepted) + len(clients)


def test_what_brokers_find_too_large_is_refused(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, tmp_path: Path
) -> None:
    make_topic(kafka_connection, name, configs={"max.message.bytes": "2000"})
    servers = kafka_connection.bootstrap_servers
    with (
        gateway(tmp_path, servers, name) as (address, _),
        httpx2.Client(timeout=30) as session,
    ):
        large = {"content": b"x" * 5_000, "headers": headers_of("request", "large")}
        answer = session.post(address, **large)  # type: ignore[arg-type]
        assert answer.status_code == 413
        assert post(session, address, "request", "small").status_code == 202
    assert written(kafka_connection, name) == {("request", "small")}
