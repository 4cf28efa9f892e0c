"""How a process that lives long, on many threads, keeps its memory: CPython's and glibc's part."""

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

_TIDY_SECONDS = 10.0
_TRIM_EVERY = 6
"""Times that it is tidied: a heap is not small to look through."""
_M_ARENA_MAX = -8
"""As glibc's malloc.h has it."""


def keep_memory_small() -> None:
    """Spare the collector, use one heap, and tidy up on a thread from now on.

    To be called before there are other threads.
    """
    spare_collector()
    use_one_heap()
    threading.Thread(target=_tidy_for_ever, name="memory", daemon=True).start()


def spare_collector() -> None:
    """Let the garbage collector look less often.

    Parsed events are many small containers that die at once, without cycles: looking for
    cycles among them every 700 allocations costs a third of the time of decoding.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def use_one_heap() -> None:
    """Let all threads allocate from one heap, which only one at a time needs anyway.

    glibc gives new threads heaps of their own, up to eight a core, and each keeps as much as
    its threads ever needed at once: with those that come and go with connections, a worker grew
    to twice its size in 20 minutes of faults.
    """
    if (set_option := _of_libc("mallopt")) is not None:
        set_option(_M_ARENA_MAX, 1)


def collect_young() -> None:
    """Collect what died in cycles since the last call; what is old is left to the collector.

    The Kafka client leaves some hundred objects a second so, and thousands while brokers are
    away, with tracebacks and all that they hold.
    """
    gc.collect(1)


def return_memory() -> None:
    """Give back to the system what glibc keeps of freed memory.

    Its heap grows for hours else, as fetches and snapshots come and go between what stays. To
    keep large blocks out of the heap would cost two fifths more CPU an event.
    """
    if (trim := _of_libc("malloc_trim")) is not None:
        trim(0)


def _of_libc(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(ctypes.CDLL(None), name, None)
    return found


def _tidy_for_ever() -> None:
    while True:
        for _ in range(_TRIM_EVERY):
            time.sleep(_TIDY_SECONDS)
            collect_young()
        return_memory()
