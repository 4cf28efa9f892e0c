import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.columns import cut
from streamdrift.signals.collector import Collector, Latest, ReferenceSettings
from tests.batches import SECOND, START, batch


def _collect(settings: ReferenceSettings, size: int, cuts: list[int]) -> tuple[Collector, int]:
    """Return the collector and how many rows it took."""
    whole = batch({"x": [float(i) for i in range(size)]})
    collector = Collector(settings)
    bounds = [0, *sorted(cuts), size]
    for start, stop in itertools.pairwise(bounds):
        if start == stop:
            continue
        needed = collector.add(cut(whole, start, stop))
        if needed is not None:
            return collector, start + needed
    return collector, size


def test_reference_is_complete_at_its_number_of_events() -> None:
    collector, taken = _collect(ReferenceSettings(events=100), 250, [])
    assert taken == 100
    assert collector.rows().offset.tolist() == list(range(100))


def test_the_span_is_not_waited_for() -> None:
    collector, taken = _collect(ReferenceSettings(events=100, span=999 * SECOND), 2_000, [])
    assert taken == 100
    assert collector.rate == 100 / (99 * SECOND)


@given(st.lists(st.integers(0, 700), max_size=6), st.sampled_from([100, 150, 501]))
def test_cuts_change_nothing(cuts: list[int], events: int) -> None:
    settings = ReferenceSettings(events=events)
    whole, taken = _collect(settings, 700, [])
    parts, taken_in_parts = _collect(settings, 700, cuts)
    assert taken == taken_in_parts
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_snapshot_goes_on_where_it_was() -> None:
    settings = ReferenceSettings(events=300)
    half, _ = _collect(settings, 200, [])
    restored = Collector(settings)
    restored.restore(half.snapshot())
    rest = batch({"x": [float(i) for i in range(200, 320)]}, first=200)
    assert half.add(rest) == restored.add(rest) == 100
    np.testing.assert_equal(restored.snapshot(), half.snapshot())


@given(st.lists(st.integers(0, 90), max_size=5), st.integers(1, 100))
def test_latest_values_do_not_depend_on_cuts(cuts: list[int], room: int) -> None:
    values, times = np.arange(90.0), START + np.arange(90)
    whole, parts = Latest(room), Latest(room)
    whole.add(values, times)
    bounds = [0, *sorted(cuts), 90]
    for start, stop in itertools.pairwise(bounds):
        parts.add(values[start:stop], times[start:stop])
        restored = Latest(room)
        restored.restore(parts.snapshot())
        parts = restored
    kept = min(room, 90)
    assert whole.values().tolist() == list(range(90 - kept, 90))
    assert whole.times().tolist() == [START + i for i in range(90 - kept, 90)]
    assert whole.seen == 90
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
