"""All followers of a process, each on a thread of its own, for as long as the service runs."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from random import SystemRandom

import structlog
from kafka.structs import TopicPartition

from streamdrift.backoff import Backoff
from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.following.backlog import Look
from streamdrift.following.firing import Firing
from streamdrift.following.follower import Follower, machine_moment
from streamdrift.following.lines import Alertmanagers, Deliveries, Line
from streamdrift.following.outbound import Outbound, Selection
from streamdrift.following.seats import Alone, Seat, commit, one_of_many
from streamdrift.kafka.clients import (
    KafkaSettings,
    connection_errors,
    end_offsets,
    make_admin,
    make_consumer,
)
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Partition, Reached
from streamdrift.sinks.alertmanager import alerts_url
from streamdrift.sinks.endpoint import Endpoint
from streamdrift.sinks.notify import BEHIND_AFTER, Notifier, NotifySettings
from streamdrift.sinks.webhook import Webhook
from streamdrift.sources.committed import all_committed

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0
_TELL_AFTER = 15.0
"""Seconds without a turn after which it is said why: the first topics are only being made."""
_MILLISECOND = 1_000
_STOP_SECONDS = 5.0
"""For a post under way: one that takes longer is made again after the next start."""
_log = structlog.get_logger("streamdrift")


def make_lines(settings: Settings, metrics: Metrics) -> Sequence[Line]:
    """Return what pages, as the settings have it.

    Raises SettingsError where the address of a notification is none, or apprise is missing.
    """
    alerts, chance = settings.alerts, SystemRandom().random
    lines: list[Line] = []
    if alerts.alertmanager is not None:
        target = alerts.alertmanager
        note = partial(metrics.sink_passed_over, Alertmanagers.sink)
        firing = Firing(alerts.page_within, target.resend, alerts.link, note)
        endpoints = [Endpoint(alerts_url(url), target) for url in target.url]
        lines.append(Alertmanagers(alerts.incidents, firing, endpoints, metrics, chance))
    if alerts.webhook is not None:
        webhook = Webhook(alerts.webhook, time.time)
        selection = Selection(alerts.page_within)
        outbound = Outbound(selection, partial(metrics.sink_passed_over, "webhook"))
        give_up_after = alerts.webhook.give_up_after / SECOND
        lines.append(
            Deliveries("webhook", alerts.topic, outbound, webhook, give_up_after, metrics, chance)
        )
    for number, each in enumerate(alerts.notify, 1):
        sink = f"notify.{each.name or number}"
        outbound = Outbound(
            _selection(each, alerts.page_within), partial(metrics.sink_passed_over, sink)
        )
        notifier, give_up_after = Notifier(each, alerts.link), each.give_up_after / SECOND
        lines.append(
            Deliveries(
                sink,
                alerts.topic,
                outbound,
                notifier,
                give_up_after,
                metrics,
                chance,
                BEHIND_AFTER / SECOND,
            )
        )
    return lines


def _selection(settings: NotifySettings, within: int) -> Selection:
    quiet = settings.quiet()
    return Selection(
        within,
        severity=settings.severity,
        quiet=(lambda _: False) if quiet is None else quiet.hold,
        resolved=settings.resolved,
        acknowledged=False,
        fresh_only=True,
    )


@contextmanager
def following_alerts(
    settings: Settings, lines: Sequence[Line], stages: Sequence[Look], metrics: Metrics
) -> Iterator[None]:
    """Let `lines` follow the alerts until the block ends.

    `stages` are those on the way to the alerts. With several workers each line is one's: that of
    a topic of several partitions is divided among them.
    """
    # Records have whole milliseconds: one of this very moment is of before it, by its time.
    stopped, begin_at = threading.Event(), machine_moment().now - _MILLISECOND
    threads = [
        threading.Thread(
            target=_follow,
            args=(settings, line, stages, metrics, begin_at, stopped),
            name=line.sink,
            daemon=True,
        )
        for line in lines
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def sink_group(settings: Settings, line: Line) -> str:
    """Return the consumer group whose offsets are how far a sink is."""
    return f"{settings.name}.sink.{line.sink}"


def _open_seat(settings: Settings, line: Line) -> Seat:
    connection, group = settings.kafka, sink_group(settings, line)
    discovery, session = settings.source.discovery_interval, settings.worker.session
    if settings.mode == "standalone":
        return Alone(connection, group, line.topic, discovery)
    return one_of_many(connection, group, line.topic, discovery, settings.instance, session)


def _follow(
    settings: Settings,
    line: Line,
    stages: Sequence[Look],
    metrics: Metrics,
    begin_at: int,
    stopped: threading.Event,
) -> None:
    """Follow in sessions, one after the other, until it is stopped."""
    backoff = Backoff(SystemRandom().random, _FIRST_WAIT, _LONGEST_WAIT)
    turned_at, told = time.monotonic(), False
    while not stopped.is_set():
        try:
            with closing(_open_seat(settings, line)) as seat:
                follower = Follower(
                    seat,
                    line,
                    settings.kafka,
                    begin_at,
                    partial(commit, seat, settings.kafka),
                    stages,
                    settings.alerts.page_within / SECOND,
                    metrics,
                )
                while not stopped.is_set():
                    follower.turn()
                    backoff.worked()
                    turned_at, told = time.monotonic(), False
        except FencedError as error:
            _log.warning("sink is another worker's", sink=line.sink, error=str(error))
            break
        except ConnectionsError as error:
            line.clear()
            if not told and time.monotonic() > turned_at + _TELL_AFTER:
                told = True
                _log.warning("alerts cannot be followed", sink=line.sink, error=str(error))
        except Exception:
            # Whoever is paged must not depend on what was not foreseen: it begins anew.
            _log.exception("a sink failed in a way that was not foreseen", sink=line.sink)
            line.clear()
            metrics.sink_failed(line.sink)
            metrics.sink_working(line.sink, False)
        stopped.wait(backoff.failed())
    line.close()


def group_reached(connection: KafkaSettings, group: str) -> Mapping[Partition, Reached] | None:
    """Return where a group is in each partition it reads, and where that ends; None if unknown."""
    try:
        with closing(make_admin(connection)) as admin:
            committed = all_committed(admin, connection, group)
        consumer = make_consumer(connection)
        try:
            with connection_errors(connection, "find where topics end"):
                ends = end_offsets(consumer, [TopicPartition(*key) for key in committed])
        finally:
            consumer.close(autocommit=False, timeout_ms=1_000)
    except ConnectionsError:
        return None
    return {
        Partition(*key): Reached(committed[Partition(*key)].offset, end)
        for key, end in ends.items()
    }


def worker_stages(settings: Settings) -> Sequence[Look]:
    """Return the stages on the way to the alerts of several workers: ingest, then detect."""
    connection, name = settings.kafka, settings.name
    return [partial(group_reached, connection, group) for group in (name, f"{name}.detect")]
