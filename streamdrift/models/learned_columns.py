"""From the events of a reference to the columns that are watched, and what each is taken for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamdrift.models.settings import ModelSettings
from streamdrift.records import Batch, ColumnKey, Group
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.fitting import fits
from streamdrift.signals.naming import column_names, setting_names
from streamdrift.signals.roles import UNWATCHED, Role, learn_role

Fact = tuple[str, Mapping[str, object]]
"""The event of a notice, and its fields."""


@dataclass(frozen=True, slots=True)
class LearnedColumns:
    """What a reference says of a model version's columns."""

    columns: Sequence[ColumnSignals]
    """Those that are watched, by key."""
    roles: Mapping[ColumnKey, Role]
    """Of every column."""
    misfits: Mapping[ColumnKey, Role]
    """Roles the settings want, for columns that have no cell they could work on."""

    def unwatched(self, *, divided: bool) -> Mapping[str, object]:
        """Return the roles of columns that are not watched, by name, and how many are too many."""
        names = self._names(divided=divided)
        roles = {
            names[key]: role.value
            for key, role in self.roles.items()
            if role in UNWATCHED and role is not Role.OVER
        }
        over = sum(role is Role.OVER for role in self.roles.values())
        return {"unwatched": roles, **({Role.OVER.value: over} if over else {})}

    def without_effect(self, settings: ModelSettings) -> Iterator[Fact]:
        """Yield what of the settings these columns leave without its effect."""
        divided = settings.feature_groups > 1
        names = self._names(divided=divided)
        for key, wanted in self.misfits.items():
            told = {"column": names[key], "wanted": wanted.value, "kept": self.roles[key].value}
            yield "role does not fit", told
        if divided:  # Of columns that settings name, no group knows all.
            return
        known = {name for key in self.roles for name in setting_names(key)}
        given = {
            "roles without a column": set(settings.roles),
            "private without a column": set(settings.private),
        }
        effect = "none: no event of the reference has these columns"
        for event, named in given.items():
            if unused := sorted(named - known):
                yield event, {"columns": unused, "effect": effect}

    def _names(self, *, divided: bool) -> Mapping[ColumnKey, str]:
        return dict(zip(self.roles, column_names(tuple(self.roles), divided=divided), strict=True))


def learn_columns(rows: Batch, settings: ModelSettings) -> LearnedColumns:
    """Return what the reference events say of their columns under a model's settings."""
    columns: list[ColumnSignals] = []
    roles: dict[ColumnKey, Role] = {}
    misfits: dict[ColumnKey, Role] = {}
    features = 0
    for key in sorted(rows.columns):
        column = rows.columns[key]
        if not set(setting_names(key)).isdisjoint(settings.ignore):
            roles[key] = Role.IGNORED
            continue
        wanted = settings.role_of(key)
        role = learn_role(column) if wanted is None or not fits(wanted, column) else wanted
        if wanted is not None and wanted is not role:
            misfits[key] = wanted
        if key.group is Group.FEATURE and role not in UNWATCHED:
            features += 1
            role = role if features <= settings.max_columns else Role.OVER
        roles[key] = role
        if role not in UNWATCHED:
            columns.append(ColumnSignals.learn(key, role, column))
    return LearnedColumns(columns, roles, misfits)
