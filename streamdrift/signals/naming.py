"""What people call the signals of a model version, and how settings name its columns.

A signal is called after its column: `amount`, `amount (missing)`. Where a feature, an output
or a metric have one name, those that are no feature get their group: `score
(output)`, `score (output) (type break)`. A column's group is added to its name, again if
need be, wherever a signal of another column is called the same: no two signals of a version
share a name. Where a model is divided into groups, each of which names its own, columns that
are no features have their group in any case.

Settings may name a column plainly, which means all of that name, or with its group (`score
(output)`, `score (feature)`), which means one and goes before the plain name.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from streamdrift.records import ColumnKey, Group, SignalKind

_OF_CALLS = frozenset({SignalKind.NULL_OUTPUT, SignalKind.FAILED, SignalKind.DUPLICATES})
"""Signals called after their kind, as the column's name alone says little."""
_BARE = frozenset({SignalKind.VALUE, SignalKind.RATE}) | _OF_CALLS

Kinds = Sequence[SignalKind]


def setting_names(key: ColumnKey) -> tuple[str, str]:
    """Return the names by which settings mean a column: that which means it alone comes first."""
    return _qualified(key), key.name


def _qualified(key: ColumnKey) -> str:
    return f"{key.name} ({key.group.value})"


def column_names(keys: Sequence[ColumnKey], *, divided: bool = False) -> list[str]:
    """Return what columns are called, with their group where a name alone would not do.

    `divided`: there may be features of the same names that are not among `keys`.
    """
    counts = Counter(key.name for key in keys)
    return [
        _qualified(key)
        if (divided or counts[key.name] > 1) and key.group is not Group.FEATURE
        else key.name
        for key in keys
    ]


def signal_names(columns: Iterable[tuple[ColumnKey, Kinds]], *, divided: bool = False) -> list[str]:
    """Return the names of all signals of columns with their kinds of signals, in their order."""
    called = [(_called(key, kinds), kinds) for key, kinds in columns]
    labels = column_names([key for key, _ in called], divided=divided)
    names: dict[str, None] = {}
    for (key, kinds), label in zip(called, labels, strict=True):
        while any(_name(label, kind) in names for kind in kinds):
            label = f"{label} ({key.group.value})"
        names |= dict.fromkeys(_name(label, kind) for kind in kinds)
    return list(names)


def signal_setting_names(key: ColumnKey, kind: SignalKind) -> tuple[str, ...]:
    """Return the names by which settings mean a signal, beside the one that is shown."""
    return tuple(_name(name, kind) for name in setting_names(_called(key, (kind,))))


def _called(key: ColumnKey, kinds: Kinds) -> ColumnKey:
    name = next((_words(kind) for kind in kinds if kind in _OF_CALLS), key.name)
    return ColumnKey(key.group, name)


def _name(label: str, kind: SignalKind) -> str:
    return label if kind in _BARE else f"{label} ({_words(kind)})"


def _words(kind: SignalKind) -> str:
    return kind.value.replace("_", " ")
