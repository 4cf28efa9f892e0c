"""History through the service's own pipeline: faster than real time, without side effects."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamdrift.monitor import Monitor
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Decoded, Messages, Notice, Partition, WarmUp
from streamdrift.signals.roles import UNWATCHED
from streamdrift.sources import Source

_POLL_SECONDS = 0.5
_EXAMPLES = 3

Publish = Callable[[Sequence[Alert]], None]


@dataclass(slots=True)
class Tally:
    """What went through a replay."""

    events: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    """By type: opened, updated, resolved."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By reason."""
    examples: list[DeadLetter] = field(default_factory=list)
    """The first dead letter of each reason, of a few reasons."""
    notices: list[Notice] = field(default_factory=list)

    def read(self, decoded: Decoded) -> None:
        """Count what was decoded."""
        self.events += sum(len(batch) for batch in decoded.batches)
        for letter in decoded.dead_letters:
            if letter.reason not in self.dead_letters and len(self.examples) < _EXAMPLES:
                self.examples.append(letter)
            self.dead_letters[letter.reason] += 1


def replay(
    given: Iterable[Messages | Decoded | None],
    pipeline: Pipeline,
    publish: Publish,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Put everything `given` through `pipeline`; `publish` gets the alerts as they arise.

    A None among it is nothing new, and a reason to look what is in order by now.
    """
    tally = Tally()

    def observe(alerts: Sequence[Alert], notices: Sequence[Notice]) -> None:
        tally.alerts.update(alert.type for alert in alerts)
        tally.notices += notices
        if alerts:
            publish(alerts)

    for part in given:
        if part is not None:
            tally.read(
                pipeline.feed(part) if isinstance(part, Messages) else pipeline.feed_decoded(part)
            )
        observation = pipeline.release()
        observe(observation.alerts, observation.notices)
        progress(tally)
    observation = pipeline.drain()
    observe(observation.alerts, observation.notices)
    progress(tally)
    return tally


def history(
    source: Source, pipeline: Pipeline, max_pending: int, until: int | None = None
) -> Iterator[Messages | None]:
    """Yield the messages of all partitions of `source` up to where their logs end now.

    `until` ends a partition earlier, at its first record of that time (microseconds) or
    later. A partition whose end is reached stops holding the others back: nothing of it will
    follow. One that runs ahead by more than `max_pending` events is paused.
    """
    partitions = source.partitions()
    pipeline.ordering.assign(partitions)
    unread = set(partitions)
    paused: set[Partition] = set()

    def finish(ended: Collection[Partition]) -> None:
        unread.difference_update(ended)
        source.pause(ended)
        for partition in sorted(ended):
            pipeline.idle(partition)

    while unread:
        for messages in source.poll(_POLL_SECONDS):
            if messages.partition not in unread:
                continue
            kept = messages if until is None else _before(messages, until)
            yield kept
            if kept is not messages:
                finish([messages.partition])
        if ended := source.at_end() & (unread - paused):
            finish(ended)
            yield None
        pending = pipeline.ordering.pending()
        full = {each for each in unread if pending.get(each, 0) > max_pending}
        source.pause(full - paused)
        source.resume((paused - full) & unread)
        paused = full


def _before(messages: Messages, until: int) -> Messages:
    """Return the messages before the first of time `until` or later."""
    late = np.flatnonzero(messages.time >= until)
    if not len(late):
        return messages
    end = int(late[0])
    return Messages(
        partition=messages.partition,
        data=messages.data,
        start=messages.start[:end],
        length=messages.length[:end],
        offset=messages.offset[:end],
        time=messages.time[:end],
        key_start=messages.key_start[:end],
        key_length=messages.key_length[:end],
        header_start=messages.header_start[:end],
        header_length=messages.header_length[:end],
        next_offset=int(messages.offset[end]),
    )


def summarize(tally: Tally, monitor: Monitor, seconds: float) -> list[str]:
    """Return the lines that say what was watched, what was not and why, and what came of it."""
    lines = [line for version in _versions(monitor) for line in version]
    if not lines:
        lines.append("no events: nothing was watched")
    rate = f" ({tally.events / seconds:,.0f} a second)" if seconds > 0 else ""
    lines.append(f"{tally.events:,} events in {seconds:.1f} s{rate}")
    alerts = ", ".join(f"{count} {name}" for name, count in sorted(tally.alerts.items()))
    lines.append(f"{tally.alerts.total()} alerts" + (f": {alerts}" if alerts else ""))
    if tally.dead_letters:
        reasons = ", ".join(f"{count:,} {why}" for why, count in tally.dead_letters.most_common())
        lines.append(f"{tally.dead_letters.total():,} messages or events not used: {reasons}")
        lines += [
            f"  the first {letter.reason}: offset {letter.offset}: {letter.detail}"
            for letter in tally.examples
        ]
    return lines


def _versions(monitor: Monitor) -> Iterator[list[str]]:
    warm_ups: Mapping[tuple[str, str], WarmUp] = {
        (each.model, each.version): each for each in monitor.warm_ups()
    }
    for version in monitor.versions():
        name = f"{version.model} {version.version}".strip()
        warm_up = warm_ups[version.model, version.version]
        if not warm_up.complete:
            yield [_not_enough(name, warm_up)]
            continue
        kinds = Counter(signal.kind.value for signal in version.signals)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines = [
            f"{name}: {len(version.signals)} signals watched from event {warm_up.events + 1:,} on"
            + (f": {counted}" if counted else "")
        ]
        for role in sorted(UNWATCHED):
            names = [key.name for key, each in version.roles.items() if each is role]
            if names:
                lines.append(f"  not watched, as {role.value}: {', '.join(names)}")
        yield lines


def _not_enough(name: str, warm_up: WarmUp) -> str:
    setting = "models.*.reference.events"
    if warm_up.events >= warm_up.wanted:
        return (
            f"{name}: not watched: its {warm_up.events:,} events do not span the time of "
            "models.*.reference.span yet: lower that"
        )
    return (
        f"{name}: not watched: {warm_up.events:,} events are too few for a reference of "
        f"{warm_up.wanted:,}: lower it with --set '{setting}={max(100, warm_up.events // 3)}'"
    )
