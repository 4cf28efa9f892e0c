"""Where alerts go: the protocol every sink keeps, and all sinks there are."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from streamdrift.kafka.outbox import Outbox
from streamdrift.records import Alert
from streamdrift.sinks.file import FileSink, StreamSink
from streamdrift.sinks.kafka import KafkaSink
from streamdrift.sinks.settings import AlertsSettings


class Sink(Protocol):
    """Takes alerts, in the order in which they are due."""

    def write(self, alerts: Sequence[Alert]) -> None:
        """Take alerts; they need not be durable when this returns.

        Called by the service's loop, before each commit, with what is new since the last.
        """
        ...

    def flush(self) -> None:
        """Return when all that was written is durable; raise a StreamdriftError else."""
        ...

    def close(self) -> None:
        """Give up what is held open. No method may be called afterwards."""
        ...


def _kafka(settings: AlertsSettings, deployment: str, outbox: Outbox | None) -> Sink | None:
    if outbox is None:
        return None
    return KafkaSink(outbox, settings.topic, settings.incidents, deployment)


def _file(settings: AlertsSettings, deployment: str, _: Outbox | None) -> Sink | None:
    return None if settings.file is None else FileSink(settings.file, deployment)


def _stdout(settings: AlertsSettings, deployment: str, _: Outbox | None) -> Sink | None:
    return StreamSink(sys.stdout.buffer, deployment) if settings.stdout else None


SINKS: Mapping[str, Callable[[AlertsSettings, str, Outbox | None], Sink | None]] = {
    "kafka": _kafka,
    "file": _file,
    "stdout": _stdout,
}
"""All sinks by name; each makes itself from the settings, None where they do not ask for it."""


def make_sinks(
    settings: AlertsSettings, deployment: str, outbox: Outbox | None
) -> tuple[Sink, ...]:
    """Return the sinks the settings ask for; without an `outbox` none that needs a broker."""
    made = (make(settings, deployment, outbox) for make in SINKS.values())
    return tuple(sink for sink in made if sink is not None)
