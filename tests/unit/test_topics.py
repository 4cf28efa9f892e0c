"""What is said about a topic that does not fit."""

from typing import Any

import pytest

from streamdrift.kafka.topics import Right, TopicNeed, _report

DESCRIBED: dict[str, Any] = {"partitions": [{"replica_nodes": [1, 2]}, {"replica_nodes": [2]}]}
STATE = TopicNeed(
    "state", "what is remembered", (Right.READ, Right.WRITE), configs={"cleanup.policy": "compact"}
)


@pytest.mark.parametrize("operations", [None, [], ["READ", "WRITE", "DESCRIBE"]])
def test_all_right(operations: list[str] | None) -> None:
    report = _report(STATE, DESCRIBED | {"authorized_operations": operations}, "compact", "a:1")
    assert (report.problem, report.command) == (None, None)
    assert (report.partitions, report.replication) == (2, 1)


def test_a_missing_right_is_named_with_its_command() -> None:
    described = DESCRIBED | {"authorized_operations": ["READ", "DESCRIBE"]}
    report = _report(STATE, described, None, "a:1")
    assert report.problem == "no right to write the topic state (what is remembered)"
    assert report.command is not None
    assert report.command.endswith("--topic state --allow-principal User:NAME --operation Write")


def test_another_cleanup_policy_is_refused() -> None:
    report = _report(STATE, DESCRIBED, "delete", "a:1")
    assert report.problem is not None
    assert "has cleanup.policy=delete and needs compact" in report.problem
