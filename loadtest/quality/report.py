"""What was measured, section by section, in a JSON file and as Markdown."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.quality.plan import Section
from loadtest.quality.tables import (
    Result,
    Table,
    as_tree,
    between_markers,
    markdown,
    of_tree,
    tally,
    verdicts_table,
)

_HEAD = """# Detection quality

Measured by `python -m loadtest.quality`, which measures it anew anywhere; equal seeds give equal
figures. streamdrift's detectors have one setting, the run length (values for one false alarm);
river's (0.26) are measured at their defaults and, where it is said, at settings found to have the
same run length. A verdict is *reached* if the figure as measured keeps the line, *missed* if it is
beyond it by more than chance (95 %, one-sided), and *open* if it is beyond by less than that. Of
false alarms it is *reached* only if the upper bound keeps the line.
"""


_DELAYS = "shifts"
"""The section whose delays are shown first, and the columns that are."""
_HEADS = ("optimum", "streamdrift", "ADWIN at 1e5", "Page-Hinkley at 1e5", "river ADWIN")


def _bare(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table without a title."""
    return "\n".join(markdown(Table("", columns, tuple(rows))).splitlines()[2:]) + "\n"


class Report:
    """The results of sections by name; those not measured anew are kept."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    @classmethod
    def read(cls, file: Path) -> "Report":
        """Return what a file holds; nothing if there is none."""
        return cls(json.loads(file.read_text()) if file.exists() else {})

    def put(self, name: str, result: Result, *, seed: int, effort: float, seconds: float) -> None:
        """Put a section's result in the place of an earlier one."""
        self._found[name] = {
            "seed": seed,
            "effort": effort,
            "seconds": round(seconds),
            **as_tree(result),
        }

    def write(self, file: Path) -> None:
        """Write everything to a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self._found, indent=1) + "\n")

    def markdown(self, sections: Mapping[str, Section]) -> str:
        """Return everything as a document, sections in their order."""
        parts = [_HEAD, "## Summary\n\n" + self.summary(sections)]
        for name, section in sections.items():
            if name in self._found:
                parts.append(self._section(section))
        return "\n".join(parts)

    def _section(self, section: Section) -> str:
        found = self._found[section.name]
        result = of_tree(found)
        lines = [
            f"## {section.title}",
            "",
            self._made(section.name),
            "",
            f"To be reached: {section.reach}.",
            "",
        ]
        lines += [markdown(table) for table in result.tables]
        if result.verdicts:
            lines.append(markdown(verdicts_table("Verdicts", result.verdicts)))
        return "\n".join(lines)

    def _made(self, name: str) -> str:
        found = self._found[name]
        return (
            f"`{name}`, seed {found['seed']}, effort {found['effort']:g}, "
            f"{found['seconds']:,} s of one core."
        )

    def summary(self, sections: Mapping[str, Section]) -> str:
        """Return what a reader should know first: delays, verdicts, and all that was missed."""
        rows, missed = [], list[str]()
        for name, section in sections.items():
            if name not in self._found:
                continue
            verdicts = of_tree(self._found[name]).verdicts
            if verdicts:
                rows.append((section.title, section.reach, tally(verdicts)))
            lines = [
                f"- {one.what}: {one.measured}, where {one.reach} was to be reached"
                for one in verdicts
                if one.held is False
            ]
            if lines and section.why:
                lines[-1] += f". {section.why}"
            missed += lines
        parts = [self._delays()] if _DELAYS in self._found else []
        parts.append(_bare(("what", "to be reached", "verdicts"), rows))
        parts.append("\n".join(["Missed:", "", *missed]) if missed else "Nothing was missed.")
        return "\n".join(part.rstrip("\n") + "\n" for part in parts)

    def _delays(self) -> str:
        """Return the mean delays of streamdrift beside the optimum's and river's."""
        table = of_tree(self._found[_DELAYS]).tables[0]
        wanted = [table.columns.index(head) for head in _HEADS if head in table.columns]
        rows = [
            (row[0], *(re.split(r" [±/\[]", row[place])[0] for place in wanted))
            for row in table.rows
        ]
        note = "Mean delay in values, run length 1e5 (river's default: its own):"
        return f"{note}\n\n" + _bare(("change", *(table.columns[place] for place in wanted)), rows)

    def into(self, document: str, sections: Mapping[str, Section]) -> str:
        """Return a document with the summary between its markers."""
        return between_markers(document, self.summary(sections))
