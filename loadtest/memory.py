"""Whether memory stays flat: the resident size of the service over millions of events.

    python -m loadtest.memory --events 5000000

A real Apache Kafka holds the events; the service's own metrics say how many it has read.
"""

import argparse
import tempfile
from pathlib import Path

from loadtest.end_to_end import fill
from loadtest.service import running
from tests.real_kafka import RealKafka

_LOOKS = 10
_POLL = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = RealKafka(Path(folder))
        node.start()
        try:
            fill(node.bootstrap, "events", options.events)
            sizes = watch(node.bootstrap, options.events)
        finally:
            node.stop()
    print(f"{'events':>12} {'resident MB':>12}")
    for seen, size in sizes:
        print(f"{seen:12,} {size:12,.0f}")
    half = len(sizes) // 2
    growth = max(size for _, size in sizes[half:]) - max(size for _, size in sizes[:half])
    print(f"the second half's peak is {growth:+,.0f} MB over the first half's")


def watch(bootstrap: str, events: int) -> list[tuple[int, float]]:
    """Return (events read, resident MB) at even steps until all are read."""
    sizes: list[tuple[int, float]] = []
    with running(bootstrap, "events", "memory") as service:
        for seen in service.counts(events, _POLL):
            if seen >= events * (len(sizes) + 1) // _LOOKS:
                sizes.append((seen, service.resident_mb()))
    return sizes


if __name__ == "__main__":
    main()
