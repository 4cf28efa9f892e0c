"""The loop people write by hand: confluent-kafka, orjson, and river's detectors per value.

    python -m loadtest.loop BOOTSTRAP TOPIC EVENTS

prints its own measurement as JSON: from the end of the first batch to the last event.
"""

import json
import resource
import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition
from river.drift import ADWIN, PageHinkley

from loadtest.events import NUMERIC

_BATCH = 10_000
# river is not fully typed.
make_adwin: Any = ADWIN
make_page_hinkley: Any = PageHinkley


def main() -> None:
    bootstrap, topic, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "loop",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    detectors = [(name, make_adwin(), make_page_hinkley()) for name in NUMERIC]
    score_adwin, score_page_hinkley = make_adwin(), make_page_hinkley()
    seen = first = alarms = 0
    started = cpu = 0.0
    while seen < wanted:
        for message in consumer.consume(_BATCH, timeout=1.0):
            event = orjson.loads(message.value() or b"")
            features = event["features"]
            for name, adwin, page_hinkley in detectors:
                value = features[name]
                adwin.update(value)
                page_hinkley.update(value)
                alarms += adwin.drift_detected + page_hinkley.drift_detected
            score = event["prediction"]["score"]
            score_adwin.update(score)
            score_page_hinkley.update(score)
            alarms += score_adwin.drift_detected + score_page_hinkley.drift_detected
            seen += 1
        if started == 0.0 and seen:
            started, cpu, first = time.perf_counter(), time.process_time(), seen
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    figures = {
        "events": seen,
        "events_per_second": (seen - first) / seconds,
        "cpu_us_per_event": cpu / (seen - first) * 1e6,
        "peak_rss_mb": peak,
        "alarms": alarms,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
