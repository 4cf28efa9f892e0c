"""The topics a deployment needs: what is missing, how to make it, and making it."""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_admin

_BROKERS_CHOICE = -1
_CLEANUP = "cleanup.policy"
_HEARD_SECONDS = 10.0


class Right(StrEnum):
    """What the client must be allowed to do with a topic."""

    READ = "READ"
    WRITE = "WRITE"


@dataclass(frozen=True, slots=True)
class TopicNeed:
    """A topic the deployment reads or writes, and how it is made where it is missing.

    `configs` are topic settings it is made with; of these a `cleanup.policy` is insisted
    on. `partitions` and `replication` of -1 leave the number to the broker.
    """

    name: str
    purpose: str
    rights: tuple[Right, ...]
    partitions: int = _BROKERS_CHOICE
    replication: int = _BROKERS_CHOICE
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicReport:
    """How a needed topic stands. It is all right where `problem` is None."""

    need: TopicNeed
    exists: bool
    partitions: int = 0
    replication: int = 0
    cleanup_policy: str | None = None
    """None where the broker does not tell."""
    problem: str | None = None
    command: str | None = None
    """What mends the problem, for a shell with Kafka's own tools."""
    created: bool = False
    """Whether it was missing, and was made just now."""


def inspect_topics(
    connection: KafkaSettings, needs: Sequence[TopicNeed]
) -> tuple[TopicReport, ...]:
    """Return how each needed topic stands, without changing anything.

    Raises ConnectionsError where the broker cannot be asked.
    """
    admin = make_admin(connection)
    try:
        with connection_errors(connection, "look at the topics"):
            return _inspect(admin, connection.bootstrap_servers, needs)
    finally:
        admin.close()


def ensure_topics(
    connection: KafkaSettings, needs: Sequence[TopicNeed], *, create: bool
) -> tuple[TopicReport, ...]:
    """Make the topics that are missing, where `create` allows it, and return how all stand.

    Raises ConnectionsError, with the commands that help as its hint, where a topic is
    missing still or does not fit.
    """
    admin = make_admin(connection)
    try:
        with connection_errors(connection, "look at the topics"):
            reports = _inspect(admin, connection.bootstrap_servers, needs)
        missing = [report.need for report in reports if not report.exists]
        if create and missing:
            with connection_errors(connection, "create the topics"):
                _create(admin, missing)
                reports = tuple(
                    replace(report, created=report.need in missing)
                    for report in _inspect_made(admin, connection.bootstrap_servers, needs)
                )
    finally:
        admin.close()
    wrong = [report for report in reports if report.problem is not None]
    if wrong:
        raise ConnectionsError(
            "; ".join(str(report.problem) for report in wrong),
            hint="\n".join(report.command for report in wrong if report.command) or None,
        )
    return reports


def create_command(need: TopicNeed, bootstrap_servers: str) -> str:
    """Return the shell command that makes a topic.

    >>> need = TopicNeed("a.b", "alerts", (Right.WRITE,), 3, configs={"retention.ms": "-1"})
    >>> print(create_command(need, "host:9092"))
    kafka-topics.sh --bootstrap-server host:9092 --create --topic a.b --partitions 3 \
--config retention.ms=-1
    """
    words = ["kafka-topics.sh", "--bootstrap-server", bootstrap_servers, "--create"]
    words += ["--topic", need.name]
    if need.partitions != _BROKERS_CHOICE:
        words += ["--partitions", str(need.partitions)]
    if need.replication != _BROKERS_CHOICE:
        words += ["--replication-factor", str(need.replication)]
    for name, value in need.configs.items():
        words += ["--config", f"{name}={value}"]
    return shlex.join(words)


def check_exists(connection: KafkaSettings, topic: str) -> None:
    """Raise ConnectionsError where a topic does not exist, or the broker cannot be asked.

    Whoever reads a topic that others make calls this first: there are brokers that make a topic
    a consumer asks about, in their own way, whether they are told not to or not.
    """
    admin = make_admin(connection)
    try:
        with connection_errors(connection, "look at the topics"):
            (described,) = admin.describe_topics([topic])
    finally:
        admin.close()
    if for_code(described["error_code"]) is not NoError:
        raise ConnectionsError(f"the topic {topic} is not there yet")


def missing_topics(connection: KafkaSettings, needs: Sequence[TopicNeed]) -> tuple[TopicNeed, ...]:
    """Return the needed topics that do not exist, and did not for some seconds.

    Raises ConnectionsError where the broker cannot be asked.
    """
    admin = make_admin(connection)
    try:
        with connection_errors(connection, "look at the topics"):
            reports = _inspect_made(admin, connection.bootstrap_servers, needs)
    finally:
        admin.close()
    return tuple(report.need for report in reports if not report.exists)


def _inspect(
    admin: KafkaAdminClient, servers: str, needs: Sequence[TopicNeed]
) -> tuple[TopicReport, ...]:
    described = {
        topic["name"]: topic
        for topic in admin.describe_topics([need.name for need in needs])
        if for_code(topic["error_code"]) is NoError
    }
    present = [need.name for need in needs if need.name in described]
    policies = _cleanup_policies(admin, present)
    return tuple(
        _report(need, described[need.name], policies.get(need.name), servers)
        if need.name in described
        else TopicReport(
            need,
            exists=False,
            problem=f"the topic {need.name} ({need.purpose}) does not exist",
            command=create_command(need, servers),
        )
        for need in needs
    )


def _inspect_made(
    admin: KafkaAdminClient, servers: str, needs: Sequence[TopicNeed]
) -> tuple[TopicReport, ...]:
    """Inspect topics that exist: brokers that did not make them hear of them a little later."""
    deadline = time.monotonic() + _HEARD_SECONDS
    while True:
        reports = _inspect(admin, servers, needs)
        if all(report.exists for report in reports) or time.monotonic() > deadline:
            return reports
        time.sleep(0.1)


def _cleanup_policies(admin: KafkaAdminClient, topics: Sequence[str]) -> Mapping[str, str]:
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    try:
        configs = admin.describe_configs(resources, config_filter="all").get("topic", {})
    except KafkaError:
        return {}  # The right to read configs is not needed otherwise: nothing is insisted on.
    return {
        topic: str(values[_CLEANUP]["value"])
        for topic, values in configs.items()
        if values.get(_CLEANUP, {}).get("value")
    }


def _report(
    need: TopicNeed, described: Mapping[str, Any], policy: str | None, servers: str
) -> TopicReport:
    problem, command = None, None
    wanted = need.configs.get(_CLEANUP)
    # Nothing where the broker does not tell, all rights where it asks for none.
    allowed = described.get("authorized_operations") or ()
    refused = [right for right in need.rights if allowed and right not in allowed]
    if wanted is not None and policy is not None and policy != wanted:
        problem = (
            f"the topic {need.name} ({need.purpose}) has cleanup.policy={policy} and needs {wanted}"
        )
        command = shlex.join(
            [
                *("kafka-configs.sh", "--bootstrap-server", servers, "--alter"),
                *("--topic", need.name, "--add-config", f"{_CLEANUP}={wanted}"),
            ]
        )
    elif refused:
        problem = f"no right to {refused[0].lower()} the topic {need.name} ({need.purpose})"
        command = shlex.join(
            [
                *("kafka-acls.sh", "--bootstrap-server", servers, "--add"),
                *("--topic", need.name, "--allow-principal", "User:NAME"),
                *(word for right in refused for word in ("--operation", right.title())),
            ]
        )
    replicas = [len(partition["replica_nodes"]) for partition in described["partitions"]]
    fits = len(replicas) == 1 if need.partitions == 1 else len(replicas) >= need.partitions
    if problem is None and not fits:
        problem = (
            f"the topic {need.name} ({need.purpose}) has {len(replicas)} partitions and needs "
            f"{need.partitions}: where it was made by another mode, or for other shards, change "
            "these back or give the deployment another name; else name another topic"
        )
    return TopicReport(
        need,
        exists=True,
        partitions=len(replicas),
        replication=min(replicas, default=0),
        cleanup_policy=policy,
        problem=problem,
        command=command,
    )


def _create(admin: KafkaAdminClient, needs: Sequence[TopicNeed]) -> None:
    """Make topics one by one: another worker may be making the same ones."""
    for need in needs:
        options: dict[str, Any] = {
            "num_partitions": need.partitions,
            "replication_factor": need.replication,
            "configs": dict(need.configs),
        }
        try:
            admin.create_topics({need.name: options}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            continue
