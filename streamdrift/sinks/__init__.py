"""Where alerts go: the protocol every sink keeps, its settings, and all sinks there are."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from streamdrift.outbox import Outbox
from streamdrift.records import Alert
from streamdrift.sinks.file import FileSink, StreamSink
from streamdrift.sinks.kafka import KafkaSink


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


class AlertsSettings(BaseModel):
    """Where alerts are written: to a topic, and beside it to a file or the terminal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(
        "streamdrift.alerts",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic of the alerts.",
    )
    file: Path | None = Field(
        None, description="File the alerts are appended to as well, one JSON object a line."
    )
    stdout: StrictBool = Field(
        False, description="Whether alerts are printed as well, as in the file."
    )


def _kafka(settings: AlertsSettings, deployment: str, outbox: Outbox | None) -> Sink | None:
    return None if outbox is None else KafkaSink(outbox, settings.topic, deployment)


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
