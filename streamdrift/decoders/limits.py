"""How large a message, and how long a name, is read."""

MAX_MESSAGE_BYTES = 16 << 20
"""A longer message is not parsed: it would take a hundred times its size in memory."""
MAX_NAME = 200
"""Longest name of a model or version."""
MAX_EVENTS = 1 << 20
"""Most events of one message of columns (Arrow)."""
MAX_CELLS = 8 << 20
"""Most cells of one, those within lists among them: each takes 9 bytes or more as a column."""
MAX_UNPACKED_BYTES = 64 << 20
"""Most bytes of one when it is decompressed, and what its dictionaries hold is laid out."""
MAX_CHECKED_BYTES = 4 << 30
"""Most bytes of dictionaries that the batches of one are checked with: half a second."""


class TooLargeError(ValueError):
    """A message is small, and what it holds is more than is read of one."""
