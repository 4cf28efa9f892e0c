"""The processes of a deployment, watched from outside."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.real_kafka import free_ports

Settings = Mapping[str, str]
SHARDS = 16
_STOP_SECONDS = 60
_PATIENCE = 600.0
_LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment: what each of its processes has beside the settings of all."""

    title: str
    processes: Sequence[Settings]
    distributed: bool = True


def workers(count: int, title: str, **settings: str) -> Plan:
    """Return a plan of identical workers."""
    return Plan(title, [settings] * count)


class Process:
    """One running `streamdrift run`."""

    def __init__(self, settings: Settings) -> None:
        self.roles = settings.get("worker.roles", "ingest, detect")
        (port,) = free_ports(1)
        self._address = f"http://127.0.0.1:{port}"
        settings = {**settings, "http.bind": f"127.0.0.1:{port}"}
        options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "streamdrift", "run", "--log-level", "error", *options]
        self._child = subprocess.Popen(command)
        self._process = psutil.Process(self._child.pid)

    def ready(self) -> bool:
        """Return whether it serves; raise SystemExit where it has ended."""
        if self._child.poll() is not None:
            raise SystemExit("a process ended early")
        try:
            return self._get("/readyz") == "ok\n"
        except (urllib.error.URLError, ConnectionError):
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric of now, summed over the labels that are not given."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self._get("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self._address + path, timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used, in user and in system mode."""
        return cpu_seconds(self._process)

    def peak_mb(self) -> float:
        """Return its largest resident size so far, in MB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self._child.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1_024

    def ask_to_stop(self) -> None:
        """Ask it to commit and leave."""
        self._child.terminate()

    def wait(self) -> None:
        """Return when it has left; end it where it does not leave."""
        try:
            self._child.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time a process has used, in user and in system mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def running(plan: Plan, settings: Settings) -> Iterator[Sequence[Process]]:
    """Run a deployment for as long as the block lasts."""
    mode = "distributed" if plan.distributed else "standalone"
    common = {**settings, "mode": mode, "shards": str(SHARDS)}
    processes: list[Process] = []
    try:
        for number, own in enumerate(plan.processes):
            processes.append(Process({**common, "instance": f"worker-{number}", **own}))
            # The first one makes the topics.
            wait_until(processes[-1].ready, "a process is ready")
        yield processes
    finally:
        for process in processes:
            process.ask_to_stop()
        for process in processes:
            process.wait()


def wait_until_shared(processes: Sequence[Process], partitions: int) -> None:
    """Return when every worker that has a role has its share of what that role is about."""

    def shared() -> bool:
        for role, number, spread in (("ingest", partitions, 1), ("detect", SHARDS, 2)):
            # The topic of the exchange has a partition more than there are shards.
            takers = [process for process in processes if role in process.roles]
            found = [p.metric("streamdrift_assigned_partitions", role=role) for p in takers]
            if sum(found) != number or max(found) - min(found) > spread:
                return False
        return True

    wait_until(shared, "the partitions are shared")


def wait_until(there: Callable[[], bool], what: str) -> None:
    """Return when something is so; raise SystemExit where nobody would wait any longer."""
    deadline = time.monotonic() + _PATIENCE
    while not there():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {_PATIENCE:g} s in vain until {what}")
        time.sleep(_LOOK_EVERY)
