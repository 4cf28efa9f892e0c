"""An orderly end of the demo where it is told to stop from outside."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Windows knows no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the first SIGTERM or SIGHUP in the block into SystemExit (143, 129).

    What the block holds is then given back as its `with` statements say. Further ones are
    ignored, as a closing terminal sends several; one that was ignored at the start stays so
    (`nohup`). For the main thread only.
    """
    asked = False

    def leave(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise SystemExit(128 + number)

    previous = {
        each: signal.signal(each, leave)
        for each in _ENDING
        if signal.getsignal(each) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
