"""How long a start takes: with nothing compiled yet, and with everything kept.

python -m loadtest.starts
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from loadtest.end_to_end import fill
from loadtest.events import events
from tests.real_kafka import RealKafka, free_ports

_EVENTS = 20_000
_PATIENCE = 600.0
_LOOK = 0.02


def until_ready(bootstrap: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds until the service reads its topic, and those it takes to leave."""
    (port,) = free_ports(1)
    wishes = {
        "kafka.bootstrap_servers": bootstrap,
        "source.predictions": "[predictions]",
        "http.bind": f"127.0.0.1:{port}",
    }
    options = [part for key, value in wishes.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "streamdrift", "run", "--log-level", "warning", *options]
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment) as service:
        while not _ready(port):
            if service.poll() is not None or time.perf_counter() - began > _PATIENCE:
                service.kill()
                raise SystemExit("streamdrift did not become ready")
            time.sleep(_LOOK)
        ready = time.perf_counter() - began
        asked = time.perf_counter()
        service.terminate()
        service.wait()
        return ready, time.perf_counter() - asked


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def seconds_of(arguments: list[str], environment: Mapping[str, str]) -> float:
    """Return the seconds that a command takes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "streamdrift", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = RealKafka(Path(folder) / "kafka")
        node.start()
        try:
            fill(node.bootstrap, "predictions", _EVENTS)
            _measure(node.bootstrap, Path(folder))
        finally:
            node.stop()


def _measure(bootstrap: str, folder: Path) -> None:
    file = folder / "events.jsonl"
    file.write_bytes(b"".join(event + b"\n" for event in events(_EVENTS)))
    print(f"{'seconds':34} {'first':>8} {'second':>8} {'third':>8}")

    def row(name: str, figures: list[float]) -> None:
        print(f"{name:34} " + " ".join(f"{figure:8.2f}" for figure in figures), flush=True)

    def environment(name: str) -> Mapping[str, str]:
        return {**os.environ, "STREAMDRIFT_CACHE_DIR": str(folder / name)}

    served = [until_ready(bootstrap, environment("run")) for _ in range(3)]
    row("run, until ready", [ready for ready, _ in served])
    row("run, from SIGTERM until it left", [left for _, left in served])
    replay = ["replay", str(file)]
    row(
        f"replay of {_EVENTS:,} events",
        [seconds_of(replay, environment("replay")) for _ in range(3)],
    )
    for command in ("settings", "--help"):
        row(command, [seconds_of([command], environment("replay")) for _ in range(3)])


if __name__ == "__main__":
    main()
