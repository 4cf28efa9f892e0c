"""Which models a deployment knows: who names another has mostly misspelt it."""

import difflib
from collections.abc import Collection, Iterable

from streamdrift.monitoring.monitor import check_format, traffic_of
from streamdrift.records import State
from streamdrift.trees import text, tree, trees

_PROPOSED = 3
_PATTERN = frozenset("*?[")


def named_models(entries: Iterable[str]) -> frozenset[str]:
    """Return the models that the entries of `models` in the settings name, patterns left out."""
    return frozenset(name for name in entries if not _PATTERN & set(name))


def models_in(state: State) -> frozenset[str]:
    """Return the models of which a shard's decoded snapshot has seen events.

    Raises StateError where it is not as this version writes them.
    """
    monitor = tree(state, "monitor")
    check_format(monitor)
    versions = (text(each, "model") for each in trees(monitor, "versions"))
    return frozenset(versions) | {model for model, _ in traffic_of(monitor)}


def not_known(model: str, known: Collection[str]) -> str:
    """Say that no event of a model was seen, and which of those that are known may be meant.

    >>> not_known("Frod", ["fraud", "churn"])
    "no event of the model 'Frod' was seen, perhaps 'fraud' is meant"
    """
    by_letters = {name.casefold(): name for name in sorted(known)}
    near = difflib.get_close_matches(model.casefold(), by_letters, _PROPOSED)
    meant = " or ".join(repr(by_letters[each]) for each in near)
    told = f"no event of the model {model!r} was seen"
    return f"{told}, perhaps {meant} is meant" if near else told
