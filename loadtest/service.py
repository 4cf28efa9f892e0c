"""The service in a process of its own, watched from outside: events counted, CPU and memory."""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PATIENCE = 900.0
_STOP_SECONDS = 60
_COUNTED = re.compile(r'^streamdrift_events_total\{topic="[^"]+"\} (\S+)$', re.MULTILINE)


class Service:
    """A running `streamdrift run`, asked over its own metrics endpoint on a free port."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        self._port = _free_port()
        settings = {
            "name": name,
            "kafka.bootstrap_servers": bootstrap,
            "source.predictions": f"[{topic}]",
            "http.bind": f"127.0.0.1:{self._port}",
        }
        options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "streamdrift", "run", "--log-level", "warning", *options]
        self._child = subprocess.Popen(command)
        self._process = psutil.Process(self._child.pid)

    def counts(self, events: int, every: float) -> Iterator[int]:
        """Yield how many events it has decoded, every so many seconds, until it has them all.

        Raises SystemExit where it ends before that, or takes longer than anyone waits.
        """
        deadline = time.monotonic() + _PATIENCE
        seen = 0
        while seen < events:
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"streamdrift ended early, at {seen:,} of {events:,} events")
            time.sleep(every)
            seen = self._counted()
            yield seen

    def _counted(self) -> int:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._port}/metrics", timeout=5
            ) as answer:
                found = _COUNTED.search(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            return 0
        return int(float(found[1])) if found else 0

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used, in user and in system mode."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        """Return its resident size now, in MB."""
        return float(self._process.memory_info().rss / 2**20)

    def peak_mb(self) -> float:
        """Return its largest resident size so far, in MB."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1_024

    def stop(self) -> None:
        """Let it commit and leave; end it where it does not."""
        self._child.terminate()
        try:
            self._child.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextmanager
def running(bootstrap: str, topic: str, name: str) -> Iterator[Service]:
    """Run the service on a topic, from its beginning, for as long as the block lasts."""
    service = Service(bootstrap, topic, name)
    try:
        yield service
    finally:
        service.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
