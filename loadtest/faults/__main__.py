"""Faults against the service, and a table of what they did to its alerts.

    python -m loadtest.faults [NAME ...] [--kills 100] [--minutes 20] [--json FILE] [--seed N]
    python -m loadtest.faults --workers 2 [NAME ...]

Each scenario runs on an Apache Kafka of its own, feeds a drifting stream all the while, and
compares the alerts, field for field, with those of an undisturbed run over the same topic.
With `--workers` so many processes share the work; a fault of a process is one of the first.
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

from loadtest.faults import workers
from loadtest.faults.brokers import all_gone, broker_loss, broker_restart
from loadtest.faults.buffer import catch_up, full_buffer
from loadtest.faults.coordinators import coordinator_move
from loadtest.faults.folder import local_folder
from loadtest.faults.network import cut, slow
from loadtest.faults.processes import killed, stopped, taken_over, transaction_timeout
from loadtest.faults.scenario import Options, Scenario
from loadtest.faults.soak import soak
from loadtest.faults.trial import Report

SCENARIOS: Mapping[str, Scenario] = {
    "kill": killed,
    "stop": stopped,
    "transaction-timeout": transaction_timeout,
    "take-over": taken_over,
    "broker-restart": broker_restart,
    "broker-loss": broker_loss,
    "all-gone": all_gone,
    "coordinator-move": coordinator_move,
    "network-cut": cut,
    "network-slow": slow,
    "full-buffer": full_buffer,
    "catch-up": catch_up,
    "local-folder": local_folder,
    "workers": workers.come_and_go,
    "workers-kill": workers.killed,
    "workers-outlived": workers.outlived,
    "soak": soak,
}
_OF_WORKERS = SCENARIOS.keys() - {
    # They look into one process alone, or have workers anyway.
    *("kill", "transaction-timeout", "full-buffer", "local-folder"),
    *("workers", "workers-kill", "workers-outlived"),
}
_HEAD = (
    f"{'fault':20}{'times':>6}{'alerts':>7}{'missing':>8}{'doubled':>12}{'displaced':>10}"
    f"{'other':>6}{'woken':>6}{'events':>8}{'counted':>8}{'commits':>8}{'stall':>7}{'resume':>14}"
)
_UNDER = (
    f"{'':20}{'':6}{'':7}{'':8}{'id/sequence':>12}{'':10}{'':6}{'':6}{'':8}{'':8}{'between':>8}{'s':>7}"
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
        f"{name:20}{times:6}{verdict.expected:7}{verdict.missing:8}{doubled:>12}"
        f"{verdict.out_of_place:10}{other:6}{report.woken:6}{report.events:8}{report.counted:8}{between:>8}"
        f"{report.stall:7.1f}{resumed:>14}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--times", type=int, default=3, help="how often other faults happen")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the soak lasts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if chosen.workers > 1 and (alone := set(chosen.names) - _OF_WORKERS):
        parser.error(f"not with --workers: {', '.join(sorted(alone))}")
    names = chosen.names or [
        name for name in SCENARIOS if chosen.workers == 1 or name in _OF_WORKERS
    ]
    reports: dict[str, Report] = {}
    failures: dict[str, str] = {}
    print(f"{_HEAD}\n{_UNDER}", flush=True)
    for name in names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            options = Options(
                Path(folder),
                chosen.seed,
                chosen.kills,
                chosen.times,
                minutes=chosen.minutes,
                workers=chosen.workers,
            )
            try:
                report = SCENARIOS[name](options)
            except AssertionError as error:
                failures[name] = str(error)
                print(
                    f"{name:20} FAILED after {time.monotonic() - started:.0f} s: {error}",
                    flush=True,
                )
                continue
        reports[name] = report
        print(
            "\n  ".join([line(name, report.faults, report), *map(str, report.growth)]), flush=True
        )
        if report.verdict.difference:
            print(report.verdict.difference, flush=True)
    if chosen.json is not None:
        content = {name: asdict(report) for name, report in reports.items()} | failures
        chosen.json.write_text(json.dumps(content, indent=2) + "\n")
    flawed = [name for name, report in reports.items() if not report.flawless]
    if failures or flawed:
        sys.exit(f"not as undisturbed: {', '.join([*failures, *flawed])}")


if __name__ == "__main__":
    main()
