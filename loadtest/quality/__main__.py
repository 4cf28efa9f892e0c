"""How good detection is: every line of what should be reached, measured, beside river.

    python -m loadtest.quality [SECTION ...] [--quick] [--seed 1] [--data FOLDER]

Writes each section's tables and verdicts to a JSON file and renders the whole file as
Markdown, so that sections can be measured one by one. Equal seeds give equal figures. What is
published takes some hours; `--quick` some minutes, and then many verdicts stay open.
"""

import argparse
import time
from pathlib import Path

from loadtest.quality.calibration import Calibration
from loadtest.quality.plan import Plan
from loadtest.quality.report import Report
from loadtest.quality.sections import SECTIONS
from loadtest.quality.tables import WORDS, markdown, tally

_QUICK = 0.05
_PROJECT = Path(__file__).parents[2]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of: {', '.join(SECTIONS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help=f"an effort of {_QUICK}")
    parser.add_argument("--effort", type=float, default=1.0, help="times the published runs")
    parser.add_argument(
        "--data", type=Path, default=None, metavar="FOLDER", help="further recorded streams"
    )
    parser.add_argument("--json", type=Path, default=_PROJECT / "docs" / "quality.json")
    parser.add_argument("--markdown", type=Path, default=None, help="default: beside the JSON")
    parser.add_argument(
        "--readme", type=Path, default=None, help="put the summary between its markers there"
    )
    parser.add_argument("--render", action="store_true", help="measure nothing, write anew")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return options


def main() -> None:
    options = _options()
    effort = _QUICK if options.quick else options.effort
    plan = Plan(
        options.seed,
        effort,
        _PROJECT / "tests" / "golden" / "data",
        options.data,
        Calibration(options.json.with_suffix(".calibration.json"), options.seed),
        lambda text: print(f"  {text}", flush=True),
    )
    report = Report.read(options.json)
    for name in () if options.render else options.sections or SECTIONS:
        section, begun = SECTIONS[name], time.perf_counter()
        print(f"== {name}: {section.title}", flush=True)
        result = section.run(plan)
        seconds = time.perf_counter() - begun
        for table in result.tables:
            print("\n" + markdown(table))
        for verdict in result.verdicts:
            if verdict.held is not True:
                print(f"{WORDS[verdict.held]}: {verdict.what}: {verdict.measured}, {verdict.reach}")
        print(f"{tally(result.verdicts)} ({seconds:.0f} s)", flush=True)
        report.put(name, result, seed=options.seed, effort=effort, seconds=seconds)
        report.write(options.json)
    target = options.markdown or options.json.with_suffix(".md")
    target.write_text(report.markdown(SECTIONS))
    if options.readme is not None:
        options.readme.write_text(report.into(options.readme.read_text(), SECTIONS))


if __name__ == "__main__":
    main()
