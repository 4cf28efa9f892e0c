"""How alerts under faults differ from those of an undisturbed run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from tests.exactly_once import Alerts


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of alerts; all but `expected` are 0 where the two runs are equal."""

    expected: int
    missing: int
    doubled_ids: int
    doubled_sequences: int
    out_of_place: int
    unexpected: int
    changed: int
    """Those with the id of an expected one, and another content."""
    letters: int
    """Dead letters missing, doubled or unexpected."""
    difference: str = field(default="", compare=False)
    """The first alert that is not the expected one, and both."""

    @property
    def equal(self) -> bool:
        return not any(
            (
                self.missing,
                self.doubled_ids,
                self.doubled_sequences,
                self.out_of_place,
                self.unexpected,
                self.changed,
                self.letters,
            )
        )


def compare(
    expected: Alerts,
    found: Alerts,
    expected_letters: Sequence[tuple[int, int]] = (),
    found_letters: Sequence[tuple[int, int]] = (),
) -> Verdict:
    """Compare alerts id for id and field for field, each model's in their order."""
    models = {*expected, *found}
    parts = [_compare(expected.get(model, []), found.get(model, [])) for model in sorted(models)]
    wanted, there = Counter(expected_letters), Counter(found_letters)
    totals = [sum(column) for column in zip(*parts, strict=True)] or [0] * 7
    odd = ((wanted - there) + (there - wanted)).total()
    return replace(Verdict(*[*totals, odd]), difference=_difference(expected, found))


def _difference(expected: Alerts, found: Alerts) -> str:
    for model in sorted({*expected, *found}):
        pairs = zip_longest(expected.get(model, []), found.get(model, []))
        for place, (wanted, there) in enumerate(pairs):
            if wanted != there:
                return f"{model}, alert {place}:\nexpected {wanted}\nfound {there}"
    return ""


def _compare(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> tuple[int, ...]:
    wanted = {alert["id"]: alert for alert in expected}
    first: dict[str, dict[str, Any]] = {}
    for alert in found:
        first.setdefault(alert["id"], alert)
    common = [each for each in wanted if each in first]
    in_order = [each for each in first if each in wanted]
    return (
        len(expected),
        len(wanted.keys() - first.keys()),
        len(found) - len(first),
        len(found) - len({alert["sequence"] for alert in found}),
        sum(a != b for a, b in zip(common, in_order, strict=True)),
        len(first.keys() - wanted.keys()),
        sum(first[each] != wanted[each] for each in common),
    )
