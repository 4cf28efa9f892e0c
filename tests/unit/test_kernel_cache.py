"""Compiled kernels on disk: what makes them others, and what is left of the old ones."""

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import streamdrift
from streamdrift.kernels import cache as kernel_cache

_PROGRAM = "from streamdrift.outer import outer; print(outer(1.0))"
_OUTER = """
from streamdrift.inner import inner
from streamdrift.kernels.compiler import kernel


@kernel
def outer(x):
    return inner(x)
"""
_INNER = """
from streamdrift.factor import FACTOR
from streamdrift.kernels.compiler import inlined


@inlined
def inner(x):
    return FACTOR * x
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of our name with a kernel, what is inlined into it, and a number in that."""
    place = tmp_path / "streamdrift"
    place.mkdir()
    (place / "__init__.py").touch()
    shutil.copytree(Path(streamdrift.__file__).parent / "kernels", place / "kernels")
    (place / "outer.py").write_text(_OUTER)
    (place / "inner.py").write_text(_INNER)
    (place / "factor.py").write_text("FACTOR = 2.0\n")
    (place / "other.py").write_text("OTHER = 1\n")
    return place


def _run(package: Path, program: str = _PROGRAM, **environment: str) -> str:
    found = {**os.environ, "STREAMDRIFT_CACHE_DIR": str(package.parent / "cache"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=package.parent,
        env=found | {"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _files(package: Path) -> set[Path]:
    return set((package.parent / "cache").rglob("*.nbc"))


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [("outer", "inner(x)", "inner(x) + 1"), ("inner", "* x", "* x + 1"), ("factor", "2.0", "3.0")],
)
def test_a_kernel_follows_what_it_is_made_of(
    package: Path, module: str, old: str, new: str
) -> None:
    assert _run(package) == "2.0"
    file = package / f"{module}.py"
    file.write_text(file.read_text().replace(old, new))
    assert _run(package) == "3.0"


def test_what_a_kernel_does_not_import_leaves_it_alone(package: Path) -> None:
    _run(package)
    kept = _files(package)
    (package / "other.py").write_text("OTHER = 2\n")
    _run(package)
    assert _files(package) == kept
    assert kept


def test_another_cpu_has_kernels_of_its_own(package: Path) -> None:
    _run(package)
    _run(package, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert len(list((package.parent / "cache").iterdir())) == 2


def test_processes_that_start_together_share_a_cache(package: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: _run(package), range(4))) == ["2.0"] * 4
    assert not list((package.parent / "cache").rglob("*.tmp"))
    hits = "print(sum(outer.stats.cache_hits.values()))"
    assert _run(package, f"from streamdrift.outer import outer; outer(1.0); {hits}") == "1"


def test_only_the_versions_used_last_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path))
    machine = kernel_cache.cache_folder()
    for number in range(10):
        kernel_cache.make(machine / f"streamdrift.outer-{number}")
        os.utime(machine / f"streamdrift.outer-{number}", (number, number))
    kernel_cache.make(machine / "streamdrift.other-0")
    left = {folder.name for folder in machine.iterdir()}
    assert left == {"streamdrift.other-0", *(f"streamdrift.outer-{n}" for n in range(2, 10))}


def test_by_default_kernels_are_kept_where_the_users_caches_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(kernel_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel_cache.cache_folder().parent == tmp_path / "streamdrift" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_cache.cache_folder().parent == tmp_path / ".cache" / "streamdrift" / "kernels"


def test_a_folder_that_cannot_be_written_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path))
    assert kernel_cache.why_unwritable() is None
    (tmp_path / "file").touch()
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path / "file"))
    assert kernel_cache.why_unwritable() == "Not a directory"


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_file_that_was_damaged_is_made_anew(package: Path, place: int) -> None:
    """Machine code of which one bit is another would do anything."""
    first = _run(package)
    files = sorted(_files(package))
    whole = [file.read_bytes() for file in files]
    for file, content in zip(files, whole, strict=True):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
    assert _run(package) == first
    # Each has a checksum again that is its own.
    for file in files:
        content = file.read_bytes()
        assert content[:32] == hashlib.sha256(content[32:]).digest()
