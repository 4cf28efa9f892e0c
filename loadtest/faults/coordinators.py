"""The nodes that coordinate the deployment's transactions, and its group, change."""

from loadtest.faults.inside import Coordinates, Inside
from loadtest.faults.scenario import Options, up
from loadtest.faults.trial import Report, Trial
from tests.real_kafka import KafkaCluster

_MOVES = 3
"""Elections in a row, of each of which transactions must be seen between."""


def coordinator_move(options: Options) -> Report:
    """Of three nodes, make others the coordinators, in every way there is.

    In turn the transactions' coordinator is stopped in order and comes back, the group's is
    killed and comes back, and the brokers elect others for both several times in a row, with
    all nodes up. A fault ends as another node coordinates.
    """
    cluster = KafkaCluster(options.folder)
    with (
        up(cluster),
        Trial(cluster.bootstrap, "moved", seed=options.seed, workers=options.workers) as trial,
        trial.life() as life,
    ):
        inside = trial.inside()
        for _ in range(options.times):
            for of, kill in ((Coordinates.TRANSACTION, False), (Coordinates.GROUP, True)):
                trial.wait_for_commits(life, 20)
                lost = inside.coordinator(of)
                trial.fault()
                cluster.nodes[lost - 1].stop(kill=kill)
                inside.wait_for_another(of, lost)
                trial.fault_ended()
                trial.wait_for_commits(life, 3)
                cluster.nodes[lost - 1].start()
            for _ in range(_MOVES):
                trial.wait_for_commits(life, 5)
                trial.fault()
                move_both(inside)
                trial.fault_ended()
                trial.wait_for_commits(life, 3)
        return trial.end(life)


def move_both(inside: Inside) -> None:
    """Have each coordinator be another node than now, with all nodes up."""
    nodes = inside.nodes()
    inside.elect({of: nodes[nodes.index(inside.coordinator(of)) - 1] for of in Coordinates})
