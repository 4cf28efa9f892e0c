"""`streamdrift run`, that kills itself at a chosen step of its work.

python -m tests.killable STEP:COMMITS key=value ...

dies when it reaches the step, once so many commits are behind it.
"""

import os
import signal
import sys

from streamdrift.commands.run import run_service
from streamdrift.config import load_settings
from streamdrift.errors import StreamdriftError

STEPS = (
    "loaded",
    "begun",
    "alerts written",
    "letters written",
    "journaled",
    "chunk written",
    "chunks done",
    "manifest written",
    "manifests done",
    "acknowledged",
    "offsets sent",
    "committed",
)
"""All there are in a commit with a snapshot; the first is in the recovery."""
OF_WORKERS = ("frames written", "steps written", *reversed(STEPS))
"""Those of both roles of a worker, a commit's last ones first: a short run takes these."""


def main() -> None:
    at, _, commits = sys.argv[1].partition(":")
    assert at in OF_WORKERS
    left = int(commits)

    def step(name: str) -> None:
        nonlocal left
        assert name in OF_WORKERS, f"{name} is missing in STEPS"
        if name == at and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= name == "committed"

    try:
        run_service(load_settings(None, sys.argv[2:]), "info", step=step)
    except StreamdriftError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
