"""The network between service and broker is cut, or slow."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from loadtest.faults.proxy import Proxy
from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from tests.real_kafka import RealKafka, free_ports

_DELAY = 0.2


@contextmanager
def behind_proxy(given: Options, name: str, **of_trial: Any) -> Iterator[tuple[Proxy, Trial]]:
    """Have a deployment that reaches its broker through a proxy, and a feeder that does not."""
    (port,) = free_ports(1)
    node = RealKafka(given.folder, proxy_port=port)
    with ExitStack() as stack:
        stack.enter_context(up(node))
        proxy = stack.enter_context(Proxy(port, node.hidden_port))
        servers = f"127.0.0.1:{port}"
        trial = Trial(
            node.bootstrap,
            name,
            servers=servers,
            seed=given.seed,
            workers=given.workers,
            **of_trial,
        )
        yield proxy, stack.enter_context(trial)


def cut(options: Options) -> Report:
    """No byte passes, and nobody is told, for longer than a transaction may take."""
    with behind_proxy(options, "cut") as (proxy, trial), trial.life() as life:
        for _ in range(options.times):
            trial.wait_for_commits(life, 20)
            trial.fault()
            proxy.cut()
            time.sleep(options.cut)
            proxy.mend()
            trial.fault_ended()
            trial.wait_for_commits(life, 3)
        return trial.end(life)


def slow(options: Options) -> Report:
    """Every block of bytes takes 0.2 s longer, each way; that it ends is no fault's end."""
    with behind_proxy(options, "slow") as (proxy, trial), trial.life() as life:
        for _ in range(options.times):
            trial.wait_for_commits(life, 20)
            trial.fault()
            proxy.delay = _DELAY
            time.sleep(options.slow)
            proxy.delay = 0.0
            trial.wait_for_commits(life, 3)
        return trial.end(life)
