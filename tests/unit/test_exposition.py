import math
import random

import numpy as np
import pytest

from streamdrift.prometheus.exposition import Labels, label, nearest, samples


def written(values: list[float]) -> list[str]:
    labels = Labels.of([label({"n": str(place)}) for place in range(len(values))])
    chosen = np.arange(len(values))
    text = b"".join(samples("m", labels, np.array(values), chosen)).decode()
    lines = text.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        f'm{{n="{place}"}}' for place in range(len(values))
    ]
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-12.5, "-12.5"),
        (1e8, "100000000"),
        (999_999_999.5, "1e+09"),
        (1e9, "1e+09"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e-300, "1e-300"),
        (5e-324, "4.94065646e-324"),
        (1.7976931348623157e308, "1.79769313e+308"),
        (1 / 3, "0.333333333"),
        (math.nan, "NaN"),
        (math.inf, "Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_have_nine_digits(value: float, text: str) -> None:
    assert written([value]) == [text]


def test_numbers_of_all_sizes_are_as_c_writes_them() -> None:
    draw = random.Random(1)
    values = [draw.uniform(-1, 1) * 10.0 ** draw.randint(-320, 307) for _ in range(20_000)]
    values += [float(draw.randint(0, 10**12)) for _ in range(5_000)]
    for value, text in zip(values, written(values), strict=True):
        # Where the tenth digit is a five, two ways to round are as near.
        assert text == f"{value:.9g}" or float(text) == pytest.approx(value, rel=1.1e-9)
        assert len(text) <= len(f"{value:.9g}") + 1


def test_the_nearest_are_chosen_in_their_order() -> None:
    statistic = np.array([1.0, 9.0, 5.0, 0.0, math.nan])
    threshold = np.array([10.0, 10.0, 10.0, 10.0, 10.0])
    changed = np.array([False, False, False, True, False])
    assert nearest(statistic, threshold, changed, None).tolist() == [0, 1, 2, 3, 4]
    assert nearest(statistic, threshold, changed, 3).tolist() == [1, 2, 3]
    assert nearest(statistic, threshold, changed, 0).tolist() == []
    assert nearest(statistic, np.zeros(5), changed, 4).tolist() == [0, 1, 2, 3]


def test_no_series_have_no_labels() -> None:
    empty = Labels.of([])
    assert len(Labels.joined([]).ends) == len(Labels.joined([empty, empty]).ends) == 0
    joined = Labels.joined([Labels.of([b"a", b"bc"]), empty, Labels.of([b"d"])])
    assert (joined.text.tobytes(), joined.ends.tolist()) == (b"abcd", [1, 3, 4])
