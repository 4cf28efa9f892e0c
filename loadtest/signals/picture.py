"""The picture of docs/signals.md: each kind of change, and statistics against their thresholds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from loadtest.signals.changes import CHANGES, Change, Course, Stream, course, stream
from streamdrift.records import Floats

SHOWN = ("e_detector", "adwin", "page_hinkley", "focus")
"""The detectors whose courses are drawn."""
BEFORE, AFTER = 150, 300
"""Values that are drawn on both sides of a change."""
SEED = 4

_NAMES = {
    "e_detector": "e-detector",
    "adwin": "ADWIN",
    "page_hinkley": "Page-Hinkley",
    "focus": "FOCuS",
}
_COLUMNS = 2
_WIDTH, _HEIGHT = 424, 212
_LEFT, _RIGHT = 12, 412
_VALUES = (46, 92)
"""Where values are drawn, from above."""
_SHARES = (112, 192)
"""Where statistics are drawn: from their thresholds down to nothing."""
_LEGEND = 40
_STEP = 2
"""Values from one point of a line to the next."""
_LIGHT = {
    "e_detector": "#0969da",
    "adwin": "#bf5b04",
    "page_hinkley": "#1a7f37",
    "focus": "#8250df",
}
_DARK = {"e_detector": "#58a6ff", "adwin": "#f0883e", "page_hinkley": "#3fb950", "focus": "#bc8cff"}


class Panel(NamedTuple):
    """One change, its values, and how the detectors went through them."""

    change: Change
    given: Stream
    courses: Mapping[str, Course]


def panels() -> list[Panel]:
    """Return what is drawn."""
    found = []
    for change in CHANGES:
        given = stream(change, SEED, BEFORE, AFTER)
        courses = {name: course(name, change, given) for name in SHOWN}
        found.append(Panel(change, given, courses))
    return found


def picture(shown: Sequence[Panel]) -> str:
    """Return the picture as SVG; colours follow the reader's scheme."""
    rows = -(-len(shown) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT + _LEGEND
    size = f'width="{width}" height="{height}" role="img"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>',
        "<title>Statistics of four detectors against their thresholds, for six changes</title>",
        f"<style>\n{_style()}</style>",
        *_legend(),
    ]
    for place, panel in enumerate(shown):
        x, y = place % _COLUMNS * _WIDTH, place // _COLUMNS * _HEIGHT + _LEGEND
        lines += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def _style() -> str:
    return f"""\
text {{ font: 12px system-ui, sans-serif }}
.title {{ font-weight: 600; font-size: 13px }}
.small {{ font-size: 11px }}
path {{ fill: none }}
.values {{ fill: #8c959f }}
.line {{ stroke: #8c959f }}
.threshold {{ stroke-dasharray: 4 3 }}
.course {{ stroke-width: 1.75; stroke-linejoin: round }}
{_colours("#24292f", "#57606a", "#cf222e", _LIGHT)}\
@media (prefers-color-scheme: dark) {{
{_colours("#e6edf3", "#9198a1", "#f85149", _DARK)}\
}}
"""


def _colours(text: str, faint: str, change: str, courses: Mapping[str, str]) -> str:
    lines = [
        f"text {{ fill: {text} }} .small {{ fill: {faint} }}",
        f".threshold {{ stroke: {faint} }} .change {{ stroke: {change} }}",
        *(
            f"path.{name} {{ stroke: {colour} }} .{name}:not(path) {{ fill: {colour} }}"
            for name, colour in courses.items()
        ),
    ]
    return "".join(f"{line}\n" for line in lines)


def _legend() -> Iterator[str]:
    x = _LEFT
    for name in SHOWN:
        yield f'<path class="course {name}" d="M{x} 18h22"/>'
        yield f'<text x="{x + 28}" y="22">{_NAMES[name]}</text>'
        x += 52 + round(6.5 * len(_NAMES[name]))
    yield f'<path class="threshold" d="M{x} 18h22"/><text x="{x + 28}" y="22">threshold</text>'
    x += 100
    yield f'<path class="change" d="M{x + 8} 10v16"/><text x="{x + 16}" y="22">change</text>'


def _panel(panel: Panel) -> Iterator[str]:
    told = (
        f'<tspan class="{name}">{_NAMES[name]} {"not" if each.told is None else each.told}</tspan>'
        for name, each in panel.courses.items()
    )
    begin = _x(panel.given.begin - 0.5)
    yield f'<text class="title" x="{_LEFT}" y="18">{escape(panel.change.title)}</text>'
    yield f'<text class="small" x="{_LEFT}" y="35">told after: {", ".join(told)}</text>'
    yield f'<path class="values" d="{_dots(panel)}"/>'
    yield f'<path class="line" d="M{_LEFT} {_SHARES[1]}H{_RIGHT}"/>'
    yield f'<path class="threshold" d="M{_LEFT} {_SHARES[0]}H{_RIGHT}"/>'
    yield f'<path class="change" d="M{begin:.1f} {_VALUES[0] - 3}V{_SHARES[1]}"/>'
    for name, each in reversed(list(panel.courses.items())):
        yield f'<path class="course {name}" d="{_line(each.share)}"/>'
        if each.told is not None:
            x = _x(len(each.share) - 1)
            yield f'<circle class="{name}" cx="{x:.1f}" cy="{_y(1.0)}" r="4"/>'


def _x(place: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * place / (BEFORE + AFTER - 1)


def _y(share: float) -> float:
    above, below = _SHARES
    return round(below - (below - above) * min(1.0, max(0.0, share)), 1)


def _line(share: Floats) -> str:
    places = [*range(0, len(share) - 1, _STEP), len(share) - 1]
    points = (f"{_x(place):.1f} {_y(float(share[place]))}" for place in places)
    return f"M{'L'.join(points)}"


def _dots(panel: Panel) -> str:
    """Return the values as dots: of 0/1 signals the 1s alone, of a category one line a level."""
    values = panel.given.values
    low, high = float(values.min()), float(values.max())
    above, below = _VALUES
    shown = np.flatnonzero(values > 0) if panel.change.kind == "rate" else np.arange(len(values))
    marks = []
    for place in shown.tolist():
        y = below - (below - above) * (float(values[place]) - low) / (high - low)
        if panel.change.kind == "rate":
            marks.append(f"M{_x(place) - 0.75:.1f} {below}v-30h1.5v30z")
        else:
            marks.append(f"M{_x(place) - 1:.1f} {y - 1:.1f}h2v2h-2z")
    return "".join(marks)
