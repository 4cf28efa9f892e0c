"""Whether memory stays flat: the resident size of the service over millions of events.

    python -m loadtest.memory --events 5000000

A real Apache Kafka holds the events; the service's own metrics say how many it has read.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from loadtest.end_to_end import PORT, counted, fill
from tests.real_kafka import RealKafka

_LOOKS = 10


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
    settings = {
        "kafka.bootstrap_servers": bootstrap,
        "source.predictions": "[events]",
        "http.bind": f"127.0.0.1:{PORT}",
    }
    assignments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "streamdrift", "run", "--log-level", "warning", *assignments]
    child = subprocess.Popen(command)
    process = psutil.Process(child.pid)
    sizes: list[tuple[int, float]] = []
    try:
        seen = 0
        while seen < events and child.poll() is None:
            time.sleep(0.2)
            seen = counted()
            if seen >= events * (len(sizes) + 1) // _LOOKS:
                sizes.append((seen, process.memory_info().rss / 2**20))
    finally:
        child.terminate()
        child.wait(timeout=60)
    return sizes


if __name__ == "__main__":
    main()
