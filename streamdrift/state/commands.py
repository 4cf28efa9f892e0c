"""Operators' commands, as they stand in their topic."""

from typing import NamedTuple

from streamdrift.errors import InputError
from streamdrift.operators import Command, decode
from streamdrift.state.log import Log


class Received(NamedTuple):
    """A record of the topic: a command, or why it is none."""

    place: int
    """Which of all records it is: these rise, also where the topic was made anew."""
    command: Command | None
    fault: str = ""


class CommandLog:
    """The topic's records, each once.

    `after` is the place of the last one that is known; without it only what comes from now on is
    read.
    """

    def __init__(self, log: Log, topic: str, after: int | None) -> None:
        self._log = log
        self._topic = topic
        end = log.end(topic)
        self._next = end if after is None else after + 1
        self._before = 0
        """Records of topics that had the name before."""
        self._renew(end)

    def _renew(self, end: int) -> None:
        """Begin with the topic's first record where it is not the one that was known."""
        if self._next > end:
            self._before, self._next = self._before + self._next, 0

    @property
    def known(self) -> int:
        """The place of the last record that was read, or passed over at the beginning."""
        return self._before + self._next - 1

    def read(self) -> list[Received]:
        """Return what has come since the last call; raise ConnectionsError where that is unknown.

        What is no command has a fault.
        """
        self._renew(self._log.end(self._topic))
        found = []
        for entry in self._log.read(self._topic, self._next):
            self._next = entry.offset + 1
            place = self._before + entry.offset
            try:
                found.append(Received(place, decode(entry.value or b"")))
            except InputError as error:
                found.append(Received(place, None, str(error)))
        return found
