"""What several workers cost beside one process alone, and how long their alerts take.

    python -m loadtest.workers [cost] [latency] [--events 500000] [--models 32] [--json FILE]

On one real Apache Kafka, each deployment is a new one. The workers of a machine with two cores
share them, so more of them bring no more events per second there; what an event costs, and how
evenly the work is shared, is to be seen all the same.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.workers import cost, latency
from tests.real_kafka import RealKafka

_PARTS = ("cost", "latency")


def _costs(node: RealKafka, folder: Path, events: int, models: int) -> dict[str, Any]:
    print(
        f"{'':12} {'events/s':>9} {'CPU us/event':>13} {'exchange':>9} {'broker us':>10} "
        f"{'bytes/event':>12} {'on disk':>8}  each process: shards, CPU us, MB"
    )
    found: dict[str, Any] = {}
    alone = None
    for plan in cost.PLANS:
        cost_of = cost.measure(node.bootstrap, folder, plan, events, models)
        alone = alone or cost_of.cpu_us_per_event
        shares = "; ".join(
            f"{each.shards}, {each.cpu_us_per_event:.1f}, {each.peak_mb:.0f}"
            for each in cost_of.shares
        )
        print(
            f"{plan.title:12} {cost_of.events_per_second:9,.0f} {cost_of.cpu_us_per_event:13.1f} "
            f"{cost_of.cpu_us_per_event - alone:+9.1f} {cost_of.broker_us_per_event:10.1f} "
            f"{cost_of.exchange_bytes_per_event:12.0f} {cost_of.exchange_stored_per_event:8.0f}"
            f"  {shares}",
            flush=True,
        )
        found[plan.title] = {**asdict(cost_of), "cpu_us_per_event": cost_of.cpu_us_per_event}
    return found


def _latencies(node: RealKafka, rate: int) -> dict[str, Any]:
    print(f"{'':18} {'alerts':>7} {'written, s: median/worst':>26} {'readable: median/worst':>24}")
    found: dict[str, Any] = {}
    for plan in latency.PLANS:
        each = latency.measure(node.bootstrap, plan, rate)
        (written, readable), (last_written, last_readable) = each.medians, each.worst
        print(
            f"{plan.title:18} {len(each.written):7} {written:17.2f} / {last_written:.2f} "
            f"{readable:17.2f} / {last_readable:.2f}",
            flush=True,
        )
        found[plan.title] = asdict(each)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(_PARTS)}")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--models", type=int, default=32)
    parser.add_argument("--rate", type=int, default=1_000, help="events per second, for latency")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    options = parser.parse_args()
    parts = options.parts or _PARTS
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"no part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        node = RealKafka(folder)
        node.start()
        try:
            if "cost" in parts:
                result["cost"] = _costs(node, folder, options.events, options.models)
            if "latency" in parts:
                result["latency"] = _latencies(node, options.rate)
        finally:
            node.stop()
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
