"""More is to be written than the network takes: the producer's queue fills."""

import json
import time
from collections.abc import Iterator

from loadtest.faults import child
from loadtest.faults.network import behind_proxy
from loadtest.faults.scenario import Options
from loadtest.faults.trial import Report
from tests.exactly_once import events

_LARGE = 200_000
_LARGE_EVERY = 50
_BUFFER = 512 << 10
_TRICKLE = 50_000.0
"""Bytes a second that pass towards the broker while the fault lasts."""
_SLOW = 2_500_000.0
"""Bytes a second of a link that is slow, and twice as fast as dead letters come."""
_PATIENCE = 240.0
_LOST = "connection lost"


def large_rubbish(seed: int, every: int = _LARGE_EVERY) -> Iterator[tuple[int, bytes]]:
    """Yield the usual events, but one of `every` is 200 kB that cannot be decoded."""
    rubbish = json.dumps("x" * _LARGE).encode()
    for count, (partition, value) in enumerate(events(seed)):
        yield partition, rubbish if count % every == every // 2 else value


def full_buffer(options: Options) -> Report:
    """Let almost nothing pass towards the broker while many large dead letters are written.

    In turn until a producer with a buffer of 512 KiB refuses a record, and, as the client has no
    limit of its own, until more waits in its queue than it could send. Either way the session
    must be given up; the fault ends as the network is as before.
    """
    with behind_proxy(
        options,
        "full",
        stream=large_rubbish(options.seed),
        options=("commit_interval=1s",),
    ) as (proxy, trial):
        for turn in range(options.times):
            limited = turn % 2 == 0
            full = child.REFUSED if limited else child.OVERFULL
            limits = [f"--buffer={_BUFFER}"] if limited else []
            with trial.life(command=("loadtest.faults.child", *limits)) as life:
                trial.wait_for_commits(life, 5)
                trial.fault()
                said = {each: life.said().count(each) for each in (full, _LOST)}
                proxy.rate = _TRICKLE
                for each, times in said.items():
                    life.wait_for(each, _PATIENCE, times=times + 1)
                proxy.rate = None
                trial.fault_ended()
                trial.wait_for_commits(life, 3)
                if turn == options.times - 1:
                    return trial.end(life)
        raise AssertionError("times is 0")


def catch_up(options: Options) -> Report:
    """Cut a slow link for long, while many large dead letters are to be written.

    What has piled up must go through the link in transactions that are over in time.
    """
    with (
        behind_proxy(
            options,
            "catch-up",
            stream=large_rubbish(options.seed),
            options=("commit_interval=1s",),
        ) as (proxy, trial),
        trial.life() as life,
    ):
        proxy.rate = _SLOW
        for _ in range(options.times):
            trial.wait_for_commits(life, 15)
            trial.fault()
            proxy.cut()
            time.sleep(2 * options.cut)
            proxy.mend()
            trial.fault_ended()
            trial.wait_for_commits(life, 30)
        return trial.end(life)
