"""Ids of models and signals that may stand in an address: names from the stream are any text.

A name of letters, digits, `-`, `_` and `.` is its own id; any other is `~` and its UTF-8 in base64
without padding. The id of a signal is that of its model, its version, its column's group and name,
and its kind, with colons in between: it stays the same whatever other columns are called.
"""

import base64
import binascii
import re
from typing import NamedTuple

from streamdrift.records import ColumnKey, Group, Signal, SignalKind

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class SignalKey(NamedTuple):
    """What a signal is, wherever it stands among those of its version."""

    model: str
    version: str
    column: ColumnKey | None
    """None of what belongs to the model: its event rate."""
    kind: SignalKind

    @classmethod
    def of(cls, model: str, version: str, signal: Signal) -> "SignalKey":
        """Return that of a version's signal."""
        return cls(model, version, signal.column, signal.kind)


def id_of(name: str) -> str:
    """Return the id of a name.

    >>> id_of("fraud"), id_of("a/b"), id_of("")
    ('fraud', '~YS9i', '~')
    """
    if _PLAIN.fullmatch(name):
        return name
    return "~" + base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def name_of(text: str) -> str:
    """Return the name that an id stands for; what is no id is taken for a name.

    >>> name_of("~YS9i"), name_of("fraud")
    ('a/b', 'fraud')
    """
    if not text.startswith("~"):
        return text
    try:
        padded = text[1:] + "=" * (-len(text[1:]) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return text


def signal_id(key: SignalKey) -> str:
    """Return the id of a signal.

    >>> signal_id(SignalKey("fraud", "3", ColumnKey(Group.FEATURE, "amount"), SignalKind.MISSING))
    'fraud:3:feature:amount:missing'
    """
    column = () if key.column is None else (key.column.group.value, key.column.name)
    return ":".join(map(id_of, (key.model, key.version, *column, key.kind.value)))


def signal_key(text: str) -> SignalKey | None:
    """Return the signal that an id stands for, None where it is no id of one."""
    names = [name_of(part) for part in text.split(":")]
    try:
        if len(names) == 3:
            return SignalKey(names[0], names[1], None, SignalKind(names[2]))
        model, version, group, column, kind = names
        return SignalKey(model, version, ColumnKey(Group(group), column), SignalKind(kind))
    except ValueError:
        return None
