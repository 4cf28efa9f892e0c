"""Every error streamdrift raises on purpose, named by what the caller must do.

StreamdriftError
  SettingsError        mend the settings: the message names the key and the allowed values
  InputError           mend the input file or stream that was named
  OutputError          make room for what is written, or allow it
  LaterError           ask again later: what can answer is busy, or not there yet
  ConnectionsError     check that the broker is up and reachable, then start again
  StateError           the stored state cannot be used: reset it, or start with what wrote it
  FencedError          another process runs this deployment: stop one of the two
"""


class StreamdriftError(Exception):
    """Root of the tree: catching it catches every error that is not a bug.

    `hint`, where given, says what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(StreamdriftError):
    """The settings are wrong: mend them."""

    exit_code = 2


class InputError(StreamdriftError):
    """A file or stream named on the command line cannot be read: mend or rename it."""

    exit_code = 3


class LaterError(StreamdriftError):
    """What can answer is busy, or not there yet: ask again later."""


class ConnectionsError(StreamdriftError):
    """The broker refuses, or stays away: check address, rights and topics."""

    exit_code = 4


class StateError(StreamdriftError):
    """The stored state cannot be used: reset it, or start the version that wrote it."""

    exit_code = 5


class FencedError(StreamdriftError):
    """Another process runs this deployment: stop one of the two."""

    exit_code = 6


class OutputError(StreamdriftError):
    """A file or stream cannot be written: check its place, rights and space."""

    exit_code = 7
