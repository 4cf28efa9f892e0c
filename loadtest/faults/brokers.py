"""Brokers are restarted, lost, or all gone."""

import time

from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from tests.real_kafka import KafkaCluster, RealKafka


def broker_restart(options: Options) -> Report:
    """Stop the only node in order and start it again; the fault ends as it answers."""
    node = RealKafka(options.folder)
    with (
        up(node),
        Trial(node.bootstrap, "restart", seed=options.seed, workers=options.workers) as trial,
        trial.life() as life,
    ):
        for _ in range(options.times):
            trial.wait_for_commits(life, 20)
            trial.fault()
            node.stop()
            node.start()
            trial.fault_ended()
            trial.wait_for_commits(life, 3)
        return trial.end(life)


def broker_loss(options: Options) -> Report:
    """Of three nodes one after the other is killed, and comes back 10 s later.

    The fault counts as ended at once: the other two must carry on without the third.
    """
    cluster = KafkaCluster(options.folder)
    with (
        up(cluster),
        Trial(cluster.bootstrap, "loss", seed=options.seed, workers=options.workers) as trial,
        trial.life() as life,
    ):
        for turn in range(options.times):
            trial.wait_for_commits(life, 20)
            node = cluster.nodes[turn % len(cluster.nodes)]
            trial.fault()
            node.stop(kill=True)
            trial.fault_ended()
            trial.wait_for_commits(life, 3)
            time.sleep(10)
            node.start()
        return trial.end(life)


def all_gone(options: Options) -> Report:
    """All brokers are killed, and come back after a minute."""
    node = RealKafka(options.folder)
    with (
        up(node),
        Trial(node.bootstrap, "gone", seed=options.seed, workers=options.workers) as trial,
        trial.life() as life,
    ):
        trial.wait_for_commits(life, 20)
        trial.fault()
        node.stop(kill=True)
        time.sleep(options.gone)
        node.start()
        trial.fault_ended()
        trial.wait_for_commits(life, 3)
        return trial.end(life)
