"""Several workers: they come, are killed, and go."""

import random
import signal
import time
from contextlib import ExitStack

from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import DISTRIBUTED, Report, Trial
from tests.exactly_once import Life
from tests.killable import OF_WORKERS
from tests.real_kafka import RealKafka

_PATIENCE = 60.0
_TRIMMING = ("loadtest.faults.child", "--trim-every", "1", "--late")


def come_and_go(options: Options) -> Report:
    """Go from one worker to four and to two under load; at each number, some are killed.

    A fault is a kill of one, which is started again under its name. Workers that go are stopped
    in order.
    """
    node, chance = RealKafka(options.folder), random.Random(options.seed)
    with (
        up(node),
        Trial(
            node.bootstrap, "workers", seed=options.seed, pause=2.5, options=DISTRIBUTED
        ) as trial,
        ExitStack() as lives,
    ):
        team: dict[str, Life] = {}
        for number in (1, 4, 2):
            for name in sorted(team)[number:]:
                team.pop(name).stop()
            for name in [f"w{each}" for each in range(number)]:
                if name not in team:
                    team[name] = lives.enter_context(trial.life(name))
            for _ in range(options.times):
                for life in team.values():
                    trial.wait_for_commits(life, 5)
                _kill(trial, lives, team, chance.choice(sorted(team)))
        for life in team.values():
            trial.wait_for_commits(life, 3)
        return trial.end(*team.values())


def _kill(trial: Trial, lives: ExitStack, team: dict[str, Life], name: str) -> None:
    trial.fault()
    team[name].process.kill()
    trial.fault_ended()
    team[name].process.wait()
    team[name] = lives.enter_context(trial.life(name))
    trial.wait_for_commits(team[name], 1)


def killed(options: Options) -> Report:
    """Kill one of two with -9, in turn at a step of either role and at a random moment.

    Each comes after a commit of the one that is killed, but for the one at the recovery's step.
    """
    node, chance = RealKafka(options.folder), random.Random(options.seed)
    with (
        up(node),
        Trial(node.bootstrap, "team", seed=options.seed, pause=2.5, options=DISTRIBUTED) as trial,
        trial.life("steady") as steady,
    ):
        for kill in range(options.kills):
            if kill % 2 == 0:
                step = OF_WORKERS[kill // 2 % len(OF_WORKERS)]
                commits = 0 if step == "loaded" else chance.randint(1, 5)
                command = ("tests.killable", f"{step}:{commits}")
                with trial.life("killed", command=command) as life:
                    assert life.process.wait(_PATIENCE) == -signal.SIGKILL, life.said()
                    trial.fault()
                    trial.fault_ended()
            else:
                with trial.life("killed") as life:
                    trial.wait_for_commits(life, 1)
                    time.sleep(chance.uniform(0.0, 2.0))
                    trial.fault()
                    life.process.kill()
                    trial.fault_ended()
        with trial.life("killed") as life:
            trial.wait_for_commits(life, 3)
            return trial.end(steady, life)


def outlived(options: Options) -> Report:
    """SIGSTOP one of two until the other has its shards, and has deleted frames it never took.

    Once it goes on, it may miss them before its group tells that it was put out; or a call that it
    was amid has failed first. Either way it begins a new session.
    """
    node = RealKafka(options.folder)
    with (
        up(node),
        Trial(node.bootstrap, "outlived", seed=options.seed, options=DISTRIBUTED) as trial,
        trial.life("heir", command=_TRIMMING) as heir,
        trial.life("stopped", command=_TRIMMING) as life,
    ):
        for turn in range(1, options.times + 1):
            trial.wait_for_commits(heir, 20)
            trial.wait_for_commits(life, 20)
            trial.fault()
            life.process.send_signal(signal.SIGSTOP)
            time.sleep(options.stopped)
            life.process.send_signal(signal.SIGCONT)
            trial.fault_ended()
            life.wait_for("connection lost, trying again", _PATIENCE, times=turn)
            trial.wait_for_commits(life, 3)
        return trial.end(heir, life)
