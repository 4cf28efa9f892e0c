"""`streamdrift run`, that stops itself amid a commit, whose buffer is looked at, or that hurries.

    python -m loadtest.faults.child
        [--stop-at STEP:COMMITS,...] [--buffer BYTES]
        [--trim-every SECONDS] [--late] key=value ...

It stops itself with SIGSTOP at each step in turn, once so many commits are behind the one
before, in a commit with a snapshot, and says so. The steps are those that `tests.killable` has
from a snapshot's first chunk on. It says whenever more than 512 KiB begin to wait in a
producer's queue, to which the client sets no limit; with `--buffer` it has one, and refuses a
record that finds no room for 2 s, with the error that the client's documentation promises. A
worker deletes the frames that nobody needs any more as often as `--trim-every` says; one that is
`--late` asks its group 3 s after it has stood still whether it is a member yet, and reads first.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.heartbeat import Heartbeat
from kafka.errors import KafkaTimeoutError
from kafka.producer.record_accumulator import RecordAccumulator

from streamdrift.commands.run import run_service
from streamdrift.config import load_settings
from streamdrift.errors import StreamdriftError
from streamdrift.workers import detecting
from tests.killable import STEPS

STOPPED, REFUSED = "stopped at", "no room in the buffer"
COMMITTED = "committed, for the first time since a stop"
MANY = 512 << 10
OVERFULL = f"more than {MANY >> 10} KiB wait to be sent"
_WITH_SNAPSHOT = ("chunk written", "chunks done", "manifest written", "manifests done")
_MAX_BLOCK = 2.0
_STOOD_STILL, _LATE = 6.0, 3.0


class Stops:
    """Steps at which the process stops itself, one after the other."""

    def __init__(self, plan: str) -> None:
        self._left = [(step, int(commits)) for step, _, commits in _parted(plan)]
        assert all(step in STEPS for step, _ in self._left)
        self._commits = 0
        self._saved = False
        self._stopped = False

    def reach(self, step: str) -> None:
        if step == "committed":
            self._commits += 1
            if self._stopped:
                self._stopped = False
                _say(COMMITTED)
        self._saved = self._saved and step not in ("begun", "committed")
        self._saved |= step in _WITH_SNAPSHOT
        if (
            self._saved
            and self._left
            and self._left[0][0] == step
            and self._commits >= self._left[0][1]
        ):
            self._left.pop(0)
            self._commits = 0
            self._stopped = True
            _say(f"{STOPPED} {step}")
            os.kill(os.getpid(), signal.SIGSTOP)


def _parted(plan: str) -> list[tuple[str, str, str]]:
    return [each.partition(":") for each in plan.split(",") if each]


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def look_into_buffers(limit: int | None) -> None:
    """Say when very much waits in a producer's queue, and give it a limit."""
    append: Callable[..., Any] = RecordAccumulator.append
    said = False

    def watched(self: Any, tp: Any, at: Any, key: Any, value: Any, *rest: Any, **named: Any) -> Any:
        nonlocal said
        size, deadline = len(key or b"") + len(value or b""), time.monotonic() + _MAX_BLOCK
        while limit is not None and (waiting := _waiting(self)) + size > limit:
            if time.monotonic() > deadline:
                _say(f"{REFUSED}: {waiting:,} of {limit:,} bytes are taken, {size:,} are wanted")
                raise KafkaTimeoutError(f"no room for {size} bytes within {_MAX_BLOCK:g} s")
            time.sleep(0.01)
        answer = append(self, tp, at, key, value, *rest, **named)
        waiting = _waiting(self)
        if not said and waiting > MANY:
            _say(OVERFULL)
        said = waiting > MANY
        return answer

    RecordAccumulator.append = watched


def be_late() -> None:
    """Let a member of a group that has stood still learn late that it was put out."""
    beat: Callable[..., Any] = BaseCoordinator._do_heartbeat  # noqa: SLF001

    async def late(self: Any) -> None:
        if time.monotonic() - self.heartbeat.last_receive > _STOOD_STILL:
            await self._net.sleep(_LATE)
        await beat(self)

    BaseCoordinator._do_heartbeat = late  # noqa: SLF001
    Heartbeat.session_timeout_expired = lambda _: False


def _waiting(accumulator: Any) -> int:
    batches = accumulator._incomplete.all()  # noqa: SLF001
    return sum(each.records.size_in_bytes() for each in batches)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stop-at", default="")
    parser.add_argument("--buffer", type=int, default=None)
    parser.add_argument("--trim-every", type=float, default=detecting._TRIM_EVERY)  # noqa: SLF001
    parser.add_argument("--late", action="store_true")
    parser.add_argument("assignments", nargs="+")
    chosen = parser.parse_args()
    stops = Stops(chosen.stop_at)
    look_into_buffers(chosen.buffer)
    detecting._TRIM_EVERY = chosen.trim_every  # noqa: SLF001
    if chosen.late:
        be_late()
    try:
        run_service(load_settings(None, chosen.assignments), "info", step=stops.reach)
    except StreamdriftError as error:
        _say(str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
