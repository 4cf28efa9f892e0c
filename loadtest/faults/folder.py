"""The folders the service writes to are full, or cannot be written any more."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from loadtest.faults.disks import fail, failing_disk, fill, repair, small_disk
from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from streamdrift.errors import OutputError
from streamdrift.kernels.cache import VARIABLE
from tests.exactly_once import Life, records
from tests.real_kafka import RealKafka

_PATIENCE = 120.0
_COMPILING = 600.0
"""Seconds for a first commit where all kernels are compiled before it."""


def local_folder(options: Options) -> Report:
    """Let every folder that the service writes to be full, and be read-only.

    In turn: the cache of compiled kernels is full, then read-only, from the start: all must
    go on. The disk of `alerts.file` is full, then fails while the file is open: the process
    ends with its own code and names the file, again and again as long as it is so, and the
    topic has each alert once in the end, the file each at least once. `state export` onto a
    full and a read-only disk says so, and leaves nothing.
    """
    node, folder = RealKafka(options.folder / "node"), options.folder
    with (
        up(node),
        small_disk(folder / "full", 256) as full,
        small_disk(folder / "read-only", 256, read_only=True) as read_only,
        failing_disk(folder / "failing") as failing,
    ):
        files = [full / "alerts.jsonl", failing / "alerts.jsonl"]
        with Trial(node.bootstrap, "folder", seed=options.seed) as trial:
            fill(full)
            for cache in (full, read_only):
                _cache_unwritable(trial, cache)
            (full / "ballast").unlink()
            trial.settings.append(f"alerts.file={files[0]}")
            _alerts_file(trial, files[0], lambda: fill(full), (full / "ballast").unlink)
            trial.settings[-1] = f"alerts.file={files[1]}"
            _alerts_file(trial, files[1], lambda: fail(failing), lambda: repair(failing))
            fill(full)
            for disk in (full, read_only):
                _export(trial, disk / "state", worked=False)
            _export(trial, folder / "state", worked=True)
            with trial.life() as life:
                trial.wait_for_commits(life, 3)
                report = trial.end(life)
        _compare_files(trial, files)
        return report


def _cache_unwritable(trial: Trial, cache: Path) -> None:
    """Run with a cache that takes nothing: commits come all the same."""
    environment = {VARIABLE: str(cache)}
    trial.fault()
    with trial.life(environment=environment) as life:
        trial.wait_for_commits(life, 10, _COMPILING)
        assert "Traceback" not in life.said(), life.said()
        life.process.terminate()
        assert life.process.wait(_PATIENCE) == 0, life.said()
    trial.fault_ended()


def _alerts_file(
    trial: Trial, file: Path, harm: Callable[[], object], mend: Callable[[], object]
) -> None:
    """Harm the disk of the alerts' file under a service, start it again, and mend the disk."""
    with trial.life() as life:
        trial.wait_for_commits(life, 10)
        _wait_for_alerts(life, file)
        trial.fault()
        harm()
        _ends_with(life, file)
    with trial.life() as life:
        _ends_with(life, file)
    mend()
    trial.fault_ended()
    with trial.life() as life:
        trial.wait_for_commits(life, 10)
        life.process.terminate()
        assert life.process.wait(_PATIENCE) == 0, life.said()


def _wait_for_alerts(life: Life, file: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not file.exists() or file.stat().st_size == 0:
        assert life.process.poll() is None, life.said()
        assert time.monotonic() < deadline, f"no alerts in {file}"
        time.sleep(0.2)


def _ends_with(life: Life, file: Path) -> None:
    assert life.process.wait(_PATIENCE) == OutputError.exit_code, life.said()
    assert f"alerts cannot be written to {file}" in life.said(), life.said()
    assert "Traceback" not in life.said(), life.said()


def _export(trial: Trial, file: Path, *, worked: bool) -> None:
    options = [part for each in trial.settings for part in ("--set", each)]
    command = [sys.executable, "-m", "streamdrift", "state", "export", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if worked else OutputError.exit_code), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    left = list(file.parent.glob(f"*{file.name}*"))
    assert left == ([file] if worked else []), left


def _compare_files(trial: Trial, files: Sequence[Path]) -> None:
    """Find whether the files have what was published while they were written, in its order."""
    published = [
        json.loads(value)["id"] for _, _, value in records(trial.direct, f"{trial.name}.alerts")
    ]
    for file in files:
        lines = [json.loads(line)["id"] for line in file.read_text().splitlines()]
        seen = list(dict.fromkeys(lines))
        assert seen, f"{file} has no alert"
        first, last = published.index(seen[0]), published.index(seen[-1])
        assert set(seen) == set(published[first : last + 1]), f"{file} has other alerts"
