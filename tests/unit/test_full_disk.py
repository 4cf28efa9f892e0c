"""What cannot be written says so as one of our errors, or, where it is not needed, nothing."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from streamdrift.errors import OutputError
from streamdrift.kernels.cache import VARIABLE
from streamdrift.sinks.file import FileSink, written_anew
from tests.alerts import make_alert

_FULL = Path("/dev/full")
_CALL = "from streamdrift.kernels.compiler import uniform_hash; print(uniform_hash(1, 2))"

pytestmark = pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")


def test_a_file_whose_disk_is_full_says_so_and_can_be_closed() -> None:
    sink = FileSink(_FULL, "deployment")
    sink.write([make_alert(1)])
    with pytest.raises(OutputError, match="No space left"):
        sink.flush()
    sink.close()


def test_a_file_written_anew_on_a_full_disk_says_so_as_it_is_closed() -> None:
    with pytest.raises(OutputError, match="No space left"), written_anew(_FULL) as stream:
        stream.write(b"x")


def _hash(environment: dict[str, str], largest_file: int = resource.RLIM_INFINITY) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _CALL],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY)
        ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kernel_works_without_its_cache(tmp_path: Path) -> None:
    kept = {VARIABLE: str(tmp_path / "kept")}
    expected = _hash(kept)
    assert list((tmp_path / "kept").rglob("*.nbc"))
    full = {VARIABLE: str(tmp_path / "full")}
    assert _hash(full, largest_file=100) == expected
    assert not list((tmp_path / "full").rglob("*.nbc"))
    assert _hash({VARIABLE: "/dev/null/cache"}) == expected
    for file in (tmp_path / "kept").rglob("*.nbc"):
        file.write_bytes(b"")
    assert _hash(kept) == expected
