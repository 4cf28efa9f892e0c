"""What is compiled before a service reads, and that nothing is left to compile after it."""

import importlib
import json
import os
import pkgutil
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import streamdrift
from streamdrift.serving.compiling import served_kernels
from tests.golden.prediction_events import RECORDINGS
from tests.real_kafka import free_ports

_DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"
_USER = 10_001
_COMPILE = """
import json
from streamdrift.serving.compiling import are_compiled, compile_kernels, served_kernels

told = []
found = compile_kernels(lambda done, total: told.append((done, total)))
print(json.dumps({
    "unreached": [each.py_func.__qualname__ for each in served_kernels() if not each.signatures],
    "told": [told[0], told[-1]],
    "unkept": found.unkept,
    "complete": are_compiled(),
}))
"""
_REPLAY = """
import sys
from streamdrift.__main__ import main
from streamdrift.serving.compiling import telling_compiled

with telling_compiled(lambda name: print("compiled", name, file=sys.stderr)):
    main()
"""


def _environment_of_the_image() -> Mapping[str, str]:
    """Return what the image sets for the CPU of this machine."""
    text = re.sub(r"\\\n", " ", _DOCKERFILE.read_text())
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    name = {"x86_64": "cpu-amd64", "aarch64": "cpu-arm64"}[platform.machine()]
    found: dict[str, str] = {}
    for stage in ("base", name):
        (part,) = re.findall(
            rf"^FROM \S+ AS {stage}\n(.*?)(?=^FROM)", text, re.MULTILINE | re.DOTALL
        )
        for line in re.findall(r"^ENV (.*)$", part, re.MULTILINE):
            found |= dict(word.split("=", 1) for word in shlex.split(line))
    return {
        key: re.sub(r"\$\{(\w+)\}", lambda one: arguments[one[1]], value)
        for key, value in found.items()
    }


@pytest.fixture
def installed() -> Iterator[Path]:
    """The package in a place of its own that all may read, as the image has it."""
    # Pytest's folders are its user's alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        ignored = shutil.ignore_patterns("__pycache__")
        place = Path(folder) / "site-packages"
        shutil.copytree(Path(streamdrift.__file__).parent, place / "streamdrift", ignore=ignored)
        yield place


def _as_another_user() -> Sequence[str]:
    """Return what a command begins with that is to have no rights of root's."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to be another user")
    return ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups")


def _environment(installed: Path, **more: str) -> dict[str, str]:
    cleared = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("STREAMDRIFT_", "NUMBA_", "XDG_"))
    }
    return cleared | {"PYTHONPATH": str(installed), "HOME": "/nonexistent", **more}


def test_all_kernels_are_known_before_any_is_compiled() -> None:
    known = len(served_kernels())
    for module in pkgutil.walk_packages(streamdrift.__path__, "streamdrift."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert len(served_kernels()) == known


def test_a_service_of_the_image_compiles_nothing(installed: Path) -> None:
    image = dict(_environment_of_the_image())
    image["STREAMDRIFT_CACHE_DIR"] = str(installed / "kernels")
    environment = _environment(installed, **image)
    events = installed.parent / "events.jsonl"
    recording = next(each for each in RECORDINGS if each.name == "insects_gradual")
    events.write_bytes(b"".join(event + b"\n" for event in recording.events()))

    def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, env=environment, cwd=installed, capture_output=True, text=True, check=False
        )

    done = run([sys.executable, "-c", _COMPILE])
    assert done.returncode == 0, done.stderr
    count = len(served_kernels())
    assert json.loads(done.stdout) == {
        "unreached": [],
        "told": [[0, count], [count, count]],
        "unkept": None,
        "complete": True,
    }
    kept = sorted(installed.rglob("*"))
    for path in (*kept, installed):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = run([*_as_another_user(), sys.executable, "-c", _REPLAY, "replay", str(events)])
        assert sorted(installed.rglob("*")) == kept
        again = run([*_as_another_user(), sys.executable, "-m", "streamdrift", "compile"])
    finally:
        for path in (installed, *kept):
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "alerts" in done.stderr
    assert "compiled" not in done.stderr
    assert '"type"' in done.stdout
    assert again.stdout.startswith("all kernels are compiled"), again.stderr


def test_a_service_without_any_cache_says_so_answers_and_can_be_stopped(installed: Path) -> None:
    (port,) = free_ports(1)
    environment = _environment(
        installed,
        STREAMDRIFT_CACHE_DIR="/dev/null/kernels",
        STREAMDRIFT_HTTP__BIND=f"127.0.0.1:{port}",
    )
    command = [*_as_another_user(), sys.executable, "-m", "streamdrift", "run"]
    with subprocess.Popen(
        command, env=environment, cwd=installed, stderr=subprocess.PIPE, text=True
    ) as service:
        assert service.stderr is not None
        lines = []
        for line in service.stderr:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "compiling kernels" and lines[-1]["compiled"] > 0:
                break
        assert _status(port, "healthz") == 200
        assert _status(port, "readyz") == 503
        assert _status(port, "metrics") == 200
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
    (warning,) = [line for line in lines if line["level"] == "warning"]
    assert "cannot be kept" in warning["event"]
    assert warning["folder"].startswith("/dev/null/kernels/")
    assert "STREAMDRIFT_CACHE_DIR" in warning["hint"]


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_image_runs_the_service_itself_as_a_user_without_rights() -> None:
    lines = _DOCKERFILE.read_text().splitlines()
    last = lines[max(place for place, line in enumerate(lines) if line.startswith("FROM")) :]
    entry = next(line for line in last if line.startswith("ENTRYPOINT"))
    # Signals reach it only so: a shell in between would keep them.
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == ["/opt/streamdrift/bin/streamdrift"]
    assert f"USER {_USER}:{_USER}" in last
