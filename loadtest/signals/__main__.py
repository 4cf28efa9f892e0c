"""Makes the picture, and with --delays the table, of docs/signals.md.

python -m loadtest.signals --delays
"""

import argparse
from pathlib import Path

from loadtest.signals.picture import panels, picture
from loadtest.signals.table import write_table

_DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", action="store_true", help="measure the table too: a minute")
    options = parser.parse_args()
    (_DOCS / "signals.svg").write_text(picture(panels()))
    if options.delays:
        write_table(_DOCS / "signals.md")


if __name__ == "__main__":
    main()
