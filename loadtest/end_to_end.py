"""streamdrift against the loop people write by hand, in one run on one topic.

    python -m loadtest.end_to_end --events 1000000 --json result.json

A real Apache Kafka holds the events; both read the same topic from its beginning, one after
the other, and must count every event. Start-up and the compiling of kernels are not counted:
each is measured from its first batch on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from loadtest.events import events
from loadtest.service import running
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.topics import TopicNeed, ensure_topics
from tests.real_kafka import RealKafka

_POLL = 0.3


def fill(bootstrap: str, topic: str, count: int) -> None:
    """Make a topic of one partition that holds `count` events."""
    need = TopicNeed(topic, "events", (), partitions=1)
    ensure_topics(KafkaSettings(bootstrap_servers=bootstrap), [need], create=True)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "batch.num.messages": 2_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for event in events(count):
        while True:
            try:
                producer.produce(topic, event, partition=0)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def measure_streamdrift(bootstrap: str, topic: str, count: int, name: str) -> dict[str, Any]:
    """Run the service until it has counted all events; return its figures."""
    started, first, cpu = 0.0, 0, 0.0
    seen = 0
    with running(bootstrap, topic, name) as service:
        for seen in service.counts(count, _POLL):
            if started == 0.0 and seen:
                started, first, cpu = time.perf_counter(), seen, service.cpu_seconds()
        seconds, cpu = time.perf_counter() - started, service.cpu_seconds() - cpu
        peak = service.peak_mb()
    # A warm-up may be over before the first look.
    measured = max(seen - first, 1)
    return {
        "events": seen,
        "events_per_second": measured / seconds,
        "cpu_us_per_event": cpu / measured * 1e6,
        "peak_rss_mb": peak,
    }


def measure_loop(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """Run the loop until it has counted all events; return its figures."""
    command = [sys.executable, "-m", "loadtest.loop", bootstrap, topic, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = RealKafka(Path(folder))
        node.start()
        try:
            fill(node.bootstrap, "warm-up", 30_000)
            measure_streamdrift(node.bootstrap, "warm-up", 30_000, "warm-up")
            fill(node.bootstrap, "events", options.events)
            loop = measure_loop(node.bootstrap, "events", options.events)
            ours = measure_streamdrift(node.bootstrap, "events", options.events, "measured")
        finally:
            node.stop()
    for name, figures in (("streamdrift", ours), ("loop", loop)):
        if figures["events"] != options.events:
            raise SystemExit(f"{name} counted {figures['events']:,} of {options.events:,} events")
    ratio = ours["events_per_second"] / loop["events_per_second"]
    result = {"streamdrift": ours, "loop": loop, "ratio": ratio}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{'':12} {'events/s':>10} {'CPU us/event':>13} {'peak MB':>8}")
    for name, figures in (("streamdrift", ours), ("loop", loop)):
        print(
            f"{name:12} {figures['events_per_second']:10,.0f} "
            f"{figures['cpu_us_per_event']:13.1f} {figures['peak_rss_mb']:8.0f}"
        )
    print(f"ratio {ratio:.2f}, {options.events:,} events, counted by both")


if __name__ == "__main__":
    main()
