"""The terms of a reference: the settings that decide once what a model version watches.

They shape the reference while it is collected, and what is learned from it when it is
complete. A version that watches keeps to the terms it was learned under; other ones wait for
its next reference.
"""

import json
from collections.abc import Mapping

from streamdrift.records import ColumnKey, Group
from streamdrift.signals.naming import setting_names
from streamdrift.signals.roles import UNWATCHED, Role

KEYS = frozenset({"reference", "roles", "ignore", "max_columns"})
"""The settings of a model that are terms."""
_OF_COLUMNS = ("roles.", "ignore.")
_UNSET = "unset"

Terms = Mapping[str, str]
"""A text by settings key, such as `reference.events`, `roles.amount`, `ignore.session_id`."""


def flat_terms(values: Mapping[str, object]) -> Terms:
    """Return the plain values of KEYS as terms, one for each column that is named."""
    terms: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            terms |= {f"{key}.{name}": json.dumps(value[name]) for name in sorted(value)}
        elif isinstance(value, list):
            terms |= {f"{key}.{name}": "true" for name in sorted(value)}
        else:
            terms[key] = json.dumps(value)
    return terms


def waiting_terms(learned: Terms, now: Terms, roles: Mapping[ColumnKey, Role]) -> Terms:
    """Return the terms of `now` that wait for the next reference: `old -> new` by key.

    Those are left out that would have changed nothing for the columns the version has, whose
    `roles` are given.
    """
    names = {name for key in roles for name in setting_names(key)}
    changed = (key for key in sorted({*learned, *now}) if learned.get(key) != now.get(key))
    return {
        key: f"{learned.get(key, _UNSET)} -> {now.get(key, _UNSET)}"
        for key in changed
        if _matters(key, now, names, roles)
    }


def _matters(key: str, now: Terms, names: set[str], roles: Mapping[ColumnKey, Role]) -> bool:
    for prefix in _OF_COLUMNS:
        if key.startswith(prefix):
            return key.removeprefix(prefix) in names
    if key == "max_columns":
        features = [role for column, role in roles.items() if column.group is Group.FEATURE]
        watched = sum(role not in UNWATCHED for role in features)
        return min(watched + features.count(Role.OVER), int(now[key])) != watched
    return True
