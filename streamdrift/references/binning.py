"""In which cell between a reference's borders a value lies.

Borders are float32, in units of the reference's spread from its centre.
"""

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import inlined, kernel
from streamdrift.records import Floats
from streamdrift.references.counts import BORDERS

_LARGEST = float(np.finfo(np.float64).max)
_GREATEST = float(np.finfo(np.float32).max)
"""Infinite values, and places, count as these."""

Singles = NDArray[np.float32]
Cells = NDArray[np.uint16]
NOTHING = 65_535
"""In place of a cell, where there is no value."""
CENTRE, UNIT = range(2)
"""Places in a slot's scale: the middle border, and one over the spread."""


def scale_of(borders: Floats) -> tuple[float, float]:
    """Return the middle of ascending borders, and one over the spread of their middle half."""
    if not len(borders):
        return 0.0, 1.0
    centre = float(borders[len(borders) // 2])
    spread = float(borders[3 * len(borders) // 4] - borders[len(borders) // 4])
    usable = np.isfinite(spread) and spread > np.finfo(np.float64).tiny
    return centre, 1 / spread if usable else 1.0


def places_of_borders(borders: Floats, centre: float, unit: float) -> Singles:
    """Return where borders stand, in units of spread from the centre.

    The first of two equal ones, of a value that repeats, stands right below it: so the value lies
    between them.
    """
    places = np.clip((borders - centre) * unit, -_GREATEST, _GREATEST).astype(np.float32)
    twice = np.zeros(len(places), dtype=np.bool_)
    twice[:-1] = places[:-1] == places[1:]
    twice[1:] &= places[1:] != places[:-1]
    places[twice] = np.nextafter(places[twice], np.float32(-np.inf))
    return places


@inlined
def place_of(value: float, centre: float, unit: float) -> np.float32:
    """Return where a value stands, in units of spread from the centre of its reference."""
    finite = min(max(value, -_LARGEST), _LARGEST)
    return np.float32(min(max((finite - centre) * unit, -_GREATEST), _GREATEST))


@inlined
def cell_of(borders: Singles, place: np.float32) -> int:
    """Return the cell of one value by its place: how many borders lie below."""
    below = 0
    for each in range(BORDERS):
        below += int(borders[each] < place)
    return below


@kernel
def fill_cells(
    borders: Singles, scale: Floats, values: Floats, places: Singles, cells: Cells
) -> None:
    """Write the cells of values float64[n] into `cells`.

    `borders` float32[BORDERS] and `scale` float64[2] are a slot's; in `places` is room for n.
    """
    centre, unit = scale[CENTRE], scale[UNIT]
    for each in range(len(values)):
        places[each] = place_of(values[each], centre, unit)
        cells[each] = 0
    # Some borders after the other, for all values: other than a search that is a vector loop.
    for first in range(0, BORDERS, 5):
        one, two, three = borders[first], borders[first + 1], borders[first + 2]
        four, five = borders[first + 3], borders[first + 4]
        for each in range(len(values)):
            place = places[each]
            cells[each] += (
                np.uint16(one < place)
                + np.uint16(two < place)
                + np.uint16(three < place)
                + np.uint16(four < place)
                + np.uint16(five < place)
            )
    for each in range(len(values)):
        if np.isnan(values[each]):
            cells[each] = NOTHING
