"""The service is killed, or stopped and let go on."""

import random
import signal
import time

import psutil

from loadtest.faults import child
from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from streamdrift.errors import FencedError
from tests.killable import STEPS
from tests.real_kafka import RealKafka

_PATIENCE = 60.0
_AMID = ("acknowledged", "offsets sent", "chunks done", "manifests done")
"""Steps at which records of a transaction are with the brokers."""


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
                command = ("tests.killable", f"{step}:{commits}")
                with trial.life(command=command) as life:
                    assert life.process.wait(_PATIENCE) == -signal.SIGKILL, life.said()
                    trial.fault()
                    trial.fault_ended()
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
        Trial(node.bootstrap, "stopped", seed=options.seed, workers=options.workers) as trial,
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


def transaction_timeout(options: Options) -> Report:
    """Let the brokers abort a transaction while the service is stopped right inside of it.

    At steps of a commit with records in the transaction, in turn; it goes on once the brokers
    say that the transaction is aborted, and must not call it committed.
    """
    node = RealKafka(options.folder)
    steps = [_AMID[turn % len(_AMID)] for turn in range(options.times)]
    plan = ",".join(f"{step}:15" for step in steps)
    with (
        up(node),
        Trial(node.bootstrap, "timed-out", seed=options.seed) as trial,
        trial.life(command=("loadtest.faults.child", "--stop-at", plan)) as life,
    ):
        inside, process = trial.inside(), psutil.Process(life.process.pid)
        for turn, step in enumerate(steps, 1):
            life.wait_for(f"{child.STOPPED} {step}", _PATIENCE, times=steps[:turn].count(step))
            inside.wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "stopped")
            state = inside.transaction()
            assert state == "Ongoing", f"the transaction is {state} at: {step}"
            trial.fault()
            inside.wait_for(lambda: inside.transaction() == "CompleteAbort", "aborted")
            life.process.send_signal(signal.SIGCONT)
            trial.fault_ended()
            life.wait_for("connection lost", _PATIENCE, times=turn)
            since = life.said().rpartition(f"{child.STOPPED} {step}")[2]
            before = since.partition("connection lost")[0]
            assert child.COMMITTED not in before, f"called a success: {since}"
            trial.wait_for_commits(life, 3)
        return trial.end(life)


def taken_over(options: Options) -> Report:
    """SIGSTOP, a second process takes over, then SIGCONT: the first must end, and write nothing.

    The fault ends as the second process is started.
    """
    node = RealKafka(options.folder)
    with (
        up(node),
        Trial(node.bootstrap, "taken-over", seed=options.seed, workers=options.workers) as trial,
    ):
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
