"""`streamdrift traffic` on a real broker: events that can be used, until it is stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
from kafka.structs import TopicPartition

from streamdrift.kafka.clients import KafkaSettings, make_consumer
from tests.topic_maker import TopicMaker


def test_it_sends_until_it_is_stopped(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, tmp_path: Path
) -> None:
    make_topic.made(kafka_connection, name)
    command = [sys.executable, "-m", "streamdrift", "traffic", name, "--rate", "400"]
    command += [
        "--cycle",
        "60s",
        "--set",
        f"kafka.bootstrap_servers={kafka_connection.bootstrap_servers}",
    ]
    log = tmp_path / "log"
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
        deadline = time.monotonic() + 60
        while b"drift begins" not in log.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    told = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert [line["event"] for line in told] == ["sending prediction events", "drift begins"]
    events = _read(kafka_connection, name)
    # Until the first drift, at 13 % of a cycle, faster than in the mean.
    assert len(events) > 2 * 400 * 0.13 * 60
    assert {event["model"] for event in events} == {"fraud", "delivery-time"}
    assert all(event["features"] for event in events)
    times = [float(str(event["timestamp"])) for event in events]
    assert times == sorted(times), "late ones would be taken at another time than their own"


def _read(connection: KafkaSettings, topic: str) -> list[dict[str, object]]:
    consumer = make_consumer(connection)
    keys = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(keys)
    ends = consumer.end_offsets(keys)
    for key in keys:
        consumer.seek(key, 0)
    found = []
    while any(consumer.position(key) < ends[key] for key in keys):
        for records in consumer.poll(timeout_ms=500).values():
            found += [orjson.loads(record.value) for record in records]
    consumer.close(autocommit=False)
    return found
