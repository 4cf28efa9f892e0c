"""Faults against the service, and a table of what they did to its alerts.

    python -m loadtest.faults [NAME ...] [--kills 100] [--json FILE] [--seed N]

Each scenario runs on an Apache Kafka of its own, feeds a drifting stream all the while, and
compares the alerts, field for field, with those of an undisturbed run over the same topic.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from loadtest.faults.brokers import all_gone, broker_loss, broker_restart
from loadtest.faults.network import cut, slow
from loadtest.faults.processes import killed, stopped, taken_over
from loadtest.faults.scenario import Options, Scenario
from loadtest.faults.trial import Report

SCENARIOS: Mapping[str, Scenario] = {
    "kill": killed,
    "stop": stopped,
    "take-over": taken_over,
    "broker-restart": broker_restart,
    "broker-loss": broker_loss,
    "all-gone": all_gone,
    "network-cut": cut,
    "network-slow": slow,
}
_HEAD = (
    f"{'fault':15}{'times':>6}{'alerts':>7}{'missing':>8}{'doubled':>12}{'displaced':>10}"
    f"{'other':>6}{'events':>8}{'counted':>8}{'commits':>8}{'stall':>7}{'resume':>14}"
)
_UNDER = (
    f"{'':15}{'':6}{'':7}{'':8}{'id/sequence':>12}{'':10}{'':6}{'':8}{'':8}{'between':>8}{'s':>7}"
    f"{'median/worst s':>14}"
)


def line(name: str, times: int, report: Report) -> str:
    """Return a row of the table."""
    verdict = report.verdict
    doubled = f"{verdict.doubled_ids}/{verdict.doubled_sequences}"
    other = verdict.unexpected + verdict.changed + verdict.letters
    between = f"{min(report.commits, default=0)}-{max(report.commits, default=0)}"
    resumed = "-" if math.isnan(report.worst) else f"{report.median:.1f}/{report.worst:.1f}"
    return (
        f"{name:15}{times:6}{verdict.expected:7}{verdict.missing:8}{doubled:>12}"
        f"{verdict.out_of_place:10}{other:6}{report.events:8}{report.counted:8}{between:>8}"
        f"{report.stall:7.1f}{resumed:>14}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--times", type=int, default=3, help="how often other faults happen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    reports: dict[str, Report] = {}
    failures: dict[str, str] = {}
    print(f"{_HEAD}\n{_UNDER}", flush=True)
    for name in chosen.names or SCENARIOS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            options = Options(Path(folder), chosen.seed, chosen.kills, chosen.times)
            try:
                report = SCENARIOS[name](options)
            except AssertionError as error:
                failures[name] = str(error)
                print(
                    f"{name:15} FAILED after {time.monotonic() - started:.0f} s: {error}",
                    flush=True,
                )
                continue
        reports[name] = report
        print(line(name, report.faults, report), flush=True)
    if chosen.json is not None:
        content = {name: asdict(report) for name, report in reports.items()} | failures
        chosen.json.write_text(json.dumps(content, indent=2) + "\n")
    flawed = [name for name, report in reports.items() if not report.flawless]
    if failures or flawed:
        sys.exit(f"not as undisturbed: {', '.join([*failures, *flawed])}")


if __name__ == "__main__":
    main()
