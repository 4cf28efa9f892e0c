"""Compiling all kernels a service calls, before it calls them: once on a machine."""

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from numba.core import event

from streamdrift.kernels import cache as kernel_cache
from streamdrift.kernels.cache import KernelCache
from streamdrift.kernels.compiler import kernels_of
from streamdrift.serving.warmup import warm_up

_UNSERVED = "streamdrift.detectors.stepper"
"""Takes single values for programs that have a series of their own: no service calls it."""
_PAUSE = 0.2

Tell = Callable[[int, int], None]
"""Is told how many kernels are compiled, of how many, now and then. What it raises ends it."""


class Compiled(NamedTuple):
    """What came of it."""

    compiled: int
    """Functions that had to be compiled."""
    seconds: float
    unkept: str | None
    """Why they cannot be kept for the next start; None where they are."""


def served_kernels() -> Sequence[Any]:
    """Return the kernels that a service may call, as numba's dispatchers."""
    unserved = set(map(id, kernels_of(_UNSERVED)))
    return [each for each in kernels_of("streamdrift") if id(each) not in unserved]


def are_compiled() -> bool:
    """Tell whether all kernels are on disk, as they are now, for this machine."""
    mark = _mark()
    return mark is not None and mark.exists() and all(map(Path.is_dir, _folders()))


def compile_kernels(tell: Tell) -> Compiled:
    """Compile what is not on disk yet; wait where another process does so.

    Where they cannot be kept they are compiled all the same, for this process.
    """
    began = time.perf_counter()
    kernels = served_kernels()
    names: list[str] = []

    def go_on() -> None:
        tell(sum(bool(each.signatures) for each in kernels), len(kernels))

    def say(name: str) -> None:
        names.append(name)
        go_on()

    tell(0, len(kernels))
    unkept = kernel_cache.why_unwritable()
    with _alone(unkept is None, go_on):
        if not are_compiled():
            with telling_compiled(say):
                warm_up(go_on)
            unkept = unkept or KernelCache.unkept or _mark_complete()
    return Compiled(len(names), time.perf_counter() - began, unkept)


@contextmanager
def telling_compiled(say: Callable[[str], None]) -> Iterator[None]:
    """Call `say` with the name of each function that is compiled while the block lasts."""

    class Listener(event.Listener):
        def on_start(self, event: event.Event) -> None:
            """Wait for the end."""

        def on_end(self, event: event.Event) -> None:
            function = event.data["dispatcher"].py_func
            say(f"{function.__module__}.{function.__qualname__}")

    with event.install_listener("numba:compile", Listener()):
        yield


@contextmanager
def timing_compiled() -> Iterator[Callable[[], float]]:
    """Yield what says for how many seconds it was compiled since the block began."""
    listener = event.TimingListener()  # type: ignore[no-untyped-call]  # as numba has it
    with event.install_listener("numba:compile", listener):
        yield lambda: listener.duration if listener.done else 0.0


def _folders() -> list[Path]:
    files = {Path(each.py_func.__code__.co_filename) for each in served_kernels()}
    return sorted(kernel_cache.folder_of(file.resolve()) for file in files)


def _mark() -> Path | None:
    """Return the file that says that all were compiled; None where there is no source."""
    digest = hashlib.sha256()
    with suppress(OSError):
        digest.update(Path(warm_up.__code__.co_filename).read_bytes())
        for folder in _folders():
            digest.update(folder.name.encode() + b"\0")
        return kernel_cache.cache_folder() / f"complete-{digest.hexdigest()[:20]}"
    return None


def _mark_complete() -> str | None:
    """Leave a mark for the next start; return why that cannot be done."""
    mark = _mark()
    if mark is None:
        return "there is no source to tell them by"
    try:
        mark.touch()
    except OSError as error:
        return error.strerror or str(error)
    kernel_cache.keep_newest(mark.parent.glob("complete-*"))
    return None


@contextmanager
def _alone(writable: bool, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the cache's lock for the block; call `wait` while another process has it."""
    if not writable:
        yield
        return
    with ExitStack() as stack:
        # The lock may be another user's: what two compile is right all the same.
        with suppress(OSError):
            lock = stack.enter_context((kernel_cache.cache_folder() / "lock").open("w"))
            while not _locked(lock):
                wait()
                time.sleep(_PAUSE)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # There are file systems without locks.
    return True
