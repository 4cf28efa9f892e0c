"""What the process asks of CPython and glibc to stay small."""

import ctypes
import gc
import subprocess
import sys
import weakref

import pytest

from streamdrift.serving.memory import collect_young

_COUNT_HEAPS = """
import ctypes, sys, threading
from streamdrift.serving.memory import return_memory, use_one_heap

libc = ctypes.CDLL(None)

def told():
    libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
    libc.fflush(None)
    print("--", flush=True)

if sys.argv[1] == "one":
    use_one_heap()
all_there = threading.Barrier(8)
def allocate():
    held = [bytes(2_000) for _ in range(100)]
    all_there.wait()
told()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
told()
return_memory()
"""


def _heaps(which: str) -> tuple[int, int]:
    """Return how many heaps a process has before and after eight threads were at work."""
    command = [sys.executable, "-c", _COUNT_HEAPS, which]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after, _ = said.split("--\n")
    return before.count("<heap nr="), after.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="glibc alone tells")
def test_threads_share_one_heap() -> None:
    before, after = _heaps("one")
    assert after == before
    before, after = _heaps("as they come")
    assert after > before  # What the test would show if nothing was done.


class _Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_what_died_in_a_cycle_is_collected() -> None:
    gc.disable()
    try:
        dead = weakref.ref(_Cycle())
        assert dead() is not None
        collect_young()
        assert dead() is None
    finally:
        gc.enable()
