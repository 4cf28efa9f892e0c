"""How large a message, and how long a name, is read."""

MAX_MESSAGE_BYTES = 16 << 20
"""A longer message is not parsed: it would take a hundred times its size in memory."""
MAX_NAME = 200
"""Longest name of a model or version."""
