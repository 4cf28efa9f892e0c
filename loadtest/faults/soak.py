"""Faults of every kind for a long time, as a seed draws them."""

import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from loadtest.faults.coordinators import move_both
from loadtest.faults.field import Field, field
from loadtest.faults.scenario import Options
from loadtest.faults.trial import Report, Trial
from tests.exactly_once import Life
from tests.real_kafka import RealKafka

_REST = (3.0, 25.0)
"""Seconds without a fault after each, once commits have come again."""
_SHORT_REST = (0.5, 3.0)
_SPARED = 0.3
"""Part of the soak that a life lasts before a kill may end it: some must show what grows."""


def soak(options: Options, nodes: int = 3) -> Report:
    """Draw faults from the seed for so many minutes, the feeder resting now and then.

    A fault ends as what was hit is back; the next comes when commits have come again. The
    feeder rests for longer than it takes a partition to be idle.
    """
    with field(options.folder, nodes) as brokers:
        trial = Trial(
            brokers.direct,
            "soak",
            servers=brokers.servers,
            seed=options.seed,
            pause=2.5,
            workers=options.workers,
        )
        with trial, ExitStack() as lives:
            return _Soak(options, brokers, trial, lives).run()


class _Soak:
    """The faults there are, and the life they are done to."""

    def __init__(self, options: Options, brokers: Field, trial: Trial, lives: ExitStack) -> None:
        self._seconds = 60 * options.minutes
        self._chance = random.Random(options.seed)
        self._brokers = brokers
        self._trial = trial
        self._lives = lives
        self._inside = trial.inside()
        self._born = time.monotonic()
        self._life = self._begin()
        self._faults: Mapping[str, Callable[[], None]] = {
            "killed": self._kill,
            "stopped": self._stop,
            "node restarted": self._restart_node,
            "node killed": self._kill_node,
            "network cut": self._cut,
            "network slow": self._slow,
        }
        if len(brokers.nodes) > 1:
            self._faults = {**self._faults, "coordinators moved": self._move}

    def run(self) -> Report:
        """Do one fault after the other, each kind equally often in the long run."""
        end = time.monotonic() + self._seconds
        self._trial.wait_for_commits(self._life, 10)
        coming: list[str] = []
        while time.monotonic() < end:
            if not coming:
                coming = self._chance.sample(sorted(self._faults), len(self._faults))
            name = next((each for each in coming if each != "killed" or self._old()), None)
            if name is None:
                coming = []
                continue
            coming.remove(name)
            self._trial.fault()
            self._faults[name]()
            self._trial.fault_ended()
            self._trial.wait_for_commits(self._life, 3)
            short = self._seconds < 300
            time.sleep(self._chance.uniform(*(_SHORT_REST if short else _REST)))
        return self._trial.end(self._life)

    def _old(self) -> bool:
        return time.monotonic() - self._born > _SPARED * self._seconds

    def _begin(self) -> Life:
        self._born = time.monotonic()
        return self._lives.enter_context(self._trial.life())

    def _kill(self) -> None:
        self._lives.close()  # With -9.
        self._life = self._begin()

    def _stop(self) -> None:
        """Stop it for less than a transaction may take, or for more."""
        self._life.process.send_signal(signal.SIGSTOP)
        time.sleep(self._chance.choice((2.0, 8.0, 13.0)))
        self._life.process.send_signal(signal.SIGCONT)

    def _restart_node(self) -> None:
        self._without(self._chance.choice(self._brokers.nodes), kill=False)

    def _kill_node(self) -> None:
        self._without(self._chance.choice(self._brokers.nodes), kill=True)

    def _without(self, node: RealKafka, *, kill: bool) -> None:
        node.stop(kill=kill)
        time.sleep(self._chance.uniform(0.0, 5.0))
        node.start()

    def _cut(self) -> None:
        """Cut off one node, or all."""
        proxies = self._brokers.proxies
        chosen = self._chance.choice(([self._chance.choice(proxies)], proxies))
        for proxy in chosen:
            proxy.cut()
        time.sleep(self._chance.choice((3.0, 13.0)))
        for proxy in chosen:
            proxy.mend()

    def _slow(self) -> None:
        for proxy in self._brokers.proxies:
            proxy.delay = 0.1
        time.sleep(self._chance.uniform(3.0, 10.0))
        for proxy in self._brokers.proxies:
            proxy.delay = 0.0

    def _move(self) -> None:
        move_both(self._inside)
