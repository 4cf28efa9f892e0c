"""Which model version each event is of."""

import math
from collections.abc import Sequence

from streamdrift.decoders.limits import MAX_NAME
from streamdrift.decoders.mapping import MISSING, MappingSettings
from streamdrift.decoders.places import read_place
from streamdrift.records import Messages


def read_names(
    mapping: MappingSettings,
    messages: Messages,
    documents: Sequence[object],
    rows: Sequence[int],
) -> tuple[Sequence[object], Sequence[object]]:
    """Return the model and the version of every event, as the mapping finds them."""
    models = read_place(mapping.model, messages, documents, rows)
    if mapping.version is None:
        return models, [""] * len(documents)
    return models, read_place(mapping.version, messages, documents, rows)


def group_names(
    models: Sequence[object], versions: Sequence[object]
) -> tuple[dict[tuple[str, str], Sequence[int] | None], dict[int, str]]:
    """Return the places of each model version's events (None: all there are).

    And the places of events whose names are none, each with the reason.
    """
    if set(map(type, models)) == set(map(type, versions)) == {str}:
        pairs = set(zip(models, versions, strict=True))
        if len(pairs) == 1:
            ((model, version),) = pairs
            if _is_name(model) and len(str(version)) <= MAX_NAME:
                return {(str(model), str(version)): None}, {}
    groups: dict[tuple[str, str], list[int]] = {}
    faults: dict[int, str] = {}
    for place, (model, version) in enumerate(zip(models, versions, strict=True)):
        reason = _name_fault(model, version)
        if reason is None:
            names = (_text(model), "" if version in (None, MISSING) else _text(version))
            groups.setdefault(names, []).append(place)
        else:
            faults[place] = reason
    return dict(groups), faults


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME


def _text(name: object) -> str:
    return str(name)


def _name_fault(model: object, version: object) -> str | None:
    """Return the reason why an event's model or version is none; None where they are fine."""
    if model is MISSING or model is None:
        return "no_model"
    if version is MISSING or version is None or version == "":
        version = "none"
    return None if _can_name(model) and _can_name(version) else "invalid_name"


def _can_name(name: object) -> bool:
    """Tell whether a value is a name, or a number that can be written as one."""
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        return False
    return _is_name(_text(name)) and (isinstance(name, str) or math.isfinite(name))
