import numpy as np
import pytest

from streamdrift.sketches.levels import MAX_LEVELS, Levels


def _codes(*counts: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def test_levels_stand_commonest_first_and_by_name_where_they_are_as_common() -> None:
    levels = Levels.of(_codes(29, 70, 1, 0, 1), ("b", "a", "d", "never", "c"))
    assert levels.names == ("a", "b", "c", "d")
    assert levels.counts.tolist() == [70, 29, 1, 1]
    assert (levels.size, levels.dropped) == (101, 0)
    assert levels.share(0) == pytest.approx(70 / 101)


@pytest.mark.parametrize(("counts", "unseen"), [([9, 5], 1), ([9, 1], 1), ([9, 1, 1, 1], 3)])
def test_new_levels_are_expected_as_often_as_those_seen_once(
    counts: list[int], unseen: float
) -> None:
    names = [f"{i}" for i in range(len(counts))]
    levels = Levels.of(_codes(*counts), names)
    assert (levels.unseen, levels.dropped, len(levels.names)) == (unseen, 0, len(counts))


def test_where_many_levels_were_seen_once_rare_ones_are_not_told_apart() -> None:
    names = [f"{i:02}" for i in range(24)]
    levels = Levels.of(_codes(20, 19, *[1] * 21), names)
    # No level was seen twice, or twenty times: none of these is expected again.
    assert (levels.names, levels.dropped, levels.unseen) == (("00",), 40, 21 + 20)


def test_levels_beyond_the_limit_count_as_unseen() -> None:
    names = [f"{i:04}" for i in range(MAX_LEVELS + 10)]
    levels = Levels.of(_codes(*[30] * len(names)), names)
    assert levels.names == tuple(names[:MAX_LEVELS])
    assert (levels.dropped, levels.unseen) == (300, 300)
    assert levels.size == 30 * len(names)
    restored = Levels.restore(levels.snapshot())
    np.testing.assert_equal(restored.snapshot(), levels.snapshot())
    assert restored.names == levels.names


def test_of_levels_some_of_which_have_no_name_rare_ones_are_dropped() -> None:
    levels = Levels.of(_codes(29, 25, 1, 1), ("a", "b", "c", "d"), nameless=20)
    assert levels.names == ("a", "b")
    assert levels.dropped == 22
    # As many new ones as were seen once; of these none comes twice.
    assert levels.unseen == 22
    assert Levels.of(_codes(), (), nameless=3).size == 3


@pytest.mark.parametrize("levels_of_stream", [200, 500, 1_200, 5_000, 50_000])
def test_levels_beyond_the_limit_come_as_often_as_expected(levels_of_stream: int) -> None:
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, levels_of_stream + 1)
    shares /= shares.sum()
    names = [f"{i}" for i in range(levels_of_stream)]
    codes = rng.choice(levels_of_stream, 10_000, p=shares).astype(np.int32)
    levels = Levels.of(codes, names)
    known = set(levels.names)
    again = rng.choice(levels_of_stream, 50_000, p=shares)
    found = sum(names[code] not in known for code in again) / 50_000
    assert levels.unseen / levels.size == pytest.approx(found, rel=0.05, abs=0.002)
