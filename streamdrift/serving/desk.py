"""Where other threads ask a loop for views of what it works on, and the loop answers.

What the loop works on is never touched by another thread. A question is work in slices, which the
loop does at the end of a turn, as many as fit into a short time: a turn is never held up by more
than that, however many ask, and however much.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from streamdrift.errors import LaterError
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.slices import Slices

T = TypeVar("T")
Question = Callable[[Sequence[Monitor]], Slices[T]]
"""Looks at a loop's monitors, on the loop's own thread; returns what nobody changes later."""
SLICE_SECONDS = 0.01
"""Time of a turn that answers may take, if the last slice begins in it."""
MOST_WAITING = 64


@dataclass(slots=True)
class _Asked:
    question: Question[Any]
    future: "Future[Any]"
    slices: Slices[Any] | None = None


class Desk:
    """Questions that wait for a loop; `monotonic` is a clock of seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: deque[_Asked] = deque()
        self._lock = threading.Lock()
        self.open = False
        """Whether a loop takes questions."""

    def ask(self, question: Question[T]) -> "Future[T]":
        """Ask; may be called on any thread, and returns at once.

        Raises LaterError where no loop serves, or many have asked; so does the answer where the
        loop ends before it is whole.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self.open:
                raise LaterError("the stream is not read at the moment", _AGAIN)
            if len(self._waiting) >= MOST_WAITING:
                raise LaterError("too many ask at once", _AGAIN)
            self._waiting.append(_Asked(question, future))
        return future

    @property
    def waiting(self) -> bool:
        """Whether anybody waits: then a turn should not wait for messages."""
        return bool(self._waiting)

    def serve(self, monitors: Sequence[Monitor]) -> None:
        """Answer what fits into a short time; called by the loop, at the end of a turn."""
        until = self._monotonic() + SLICE_SECONDS
        while self._waiting and self._monotonic() < until:
            asked = self._waiting[0]
            if _goes_on(asked, monitors):
                continue
            with self._lock:
                self._waiting.popleft()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Take questions while the block runs; those that are left have no answer."""
        with self._lock:
            self.open = True
        try:
            yield
        finally:
            with self._lock:
                self.open = False
                left, self._waiting = self._waiting, deque()
            for asked in left:
                if asked.slices is not None or asked.future.set_running_or_notify_cancel():
                    asked.future.set_exception(LaterError("the loop has ended", _AGAIN))


_AGAIN = "ask again in a few seconds; /readyz tells when it is"


def _goes_on(asked: _Asked, monitors: Sequence[Monitor]) -> bool:
    """Do one slice of an answer; tell whether more are to be done."""
    if asked.slices is None:
        if not asked.future.set_running_or_notify_cancel():
            return False  # Who asked has not waited.
        asked.slices = asked.question(monitors)
    try:
        next(asked.slices)
    except StopIteration as end:
        asked.future.set_result(end.value)
        return False
    except Exception as error:
        # The stream goes on, whatever is wrong with a view of it.
        asked.future.set_exception(error)
        return False
    return True
