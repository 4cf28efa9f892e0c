"""The service is killed, or stopped and let go on."""

import random
import signal
import time

from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from streamdrift.errors import FencedError
from tests.killable import STEPS
from tests.real_kafka import RealKafka

_PATIENCE = 60.0


def killed(options: Options) -> Report:
    """Kill with -9, in turn at a numbered step and at a random moment.

    Each comes after a commit, but for the one at the recovery's step. The feeder rests now
    and then for longer than it takes a partition to be idle.
    """
    node, chance = RealKafka(options.folder), random.Random(options.seed)
    with up(node), Trial(node.bootstrap, "killed", seed=options.seed, pause=2.5) as trial:
        for kill in range(options.kills):
            if kill % 2 == 0:
                step = STEPS[kill // 2 % len(STEPS)]
                commits = 0 if step == "loaded" else chance.randint(1, 5)
                with trial.life(f"{step}:{commits}") as life:
                    assert life.process.wait(_PATIENCE) == -signal.SIGKILL, life.said()
                    trial.fault()
            else:
                with trial.life() as life:
                    trial.wait_for_commits(life, 1)
                    time.sleep(chance.uniform(0.0, 2.0))
                    trial.fault()
                    life.process.kill()
            trial.fault_ended()
        with trial.life() as life:
            trial.wait_for_commits(life, 3)
            return trial.end(life)


def stopped(options: Options) -> Report:
    """SIGSTOP for longer than a transaction may take, then SIGCONT, nobody taking over."""
    node = RealKafka(options.folder)
    with (
        up(node),
        Trial(node.bootstrap, "stopped", seed=options.seed) as trial,
        trial.life() as life,
    ):
        for _ in range(options.times):
            trial.wait_for_commits(life, 20)
            trial.fault()
            life.process.send_signal(signal.SIGSTOP)
            time.sleep(options.stopped)
            life.process.send_signal(signal.SIGCONT)
            trial.fault_ended()
            trial.wait_for_commits(life, 3)
        return trial.end(life)


def taken_over(options: Options) -> Report:
    """SIGSTOP, a second process takes over, then SIGCONT: the first must end, and write nothing.

    The fault ends as the second process is started.
    """
    node = RealKafka(options.folder)
    with up(node), Trial(node.bootstrap, "taken-over", seed=options.seed) as trial:
        for _ in range(options.times):
            with trial.life() as zombie:
                trial.wait_for_commits(zombie, 20)
                trial.fault()
                zombie.process.send_signal(signal.SIGSTOP)
                trial.fault_ended()
                with trial.life() as life:
                    trial.wait_for_commits(life, 3)
                    time.sleep(options.stopped)
                    zombie.process.send_signal(signal.SIGCONT)
                    code = zombie.process.wait(_PATIENCE)
                    assert code == FencedError.exit_code, zombie.said()
                    trial.wait_for_commits(life, 3)
        with trial.life() as life:
            trial.wait_for_commits(life, 3)
            return trial.end(life)
