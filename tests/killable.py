"""The service as `streamdrift run` has it, that kills itself at a chosen step of its work.

python -m tests.killable STEP key=value ...
"""

import itertools
import os
import signal
import sys

from streamdrift.assembly import make_pipeline, service_settings
from streamdrift.commands.run import stopped_by_signals
from streamdrift.config import load_settings
from streamdrift.deployment import Deployment
from streamdrift.errors import StreamdriftError
from streamdrift.logs import set_up_logs
from streamdrift.metrics import Metrics
from streamdrift.service import Service


def main() -> None:
    at, settings = int(sys.argv[1]), load_settings(None, sys.argv[2:])
    count = itertools.count(1)

    def step(name: str) -> None:
        if next(count) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    set_up_logs("info")
    service = Service(
        service_settings(settings),
        Deployment(settings).open_session,
        lambda: make_pipeline(settings),
        Metrics(),
        step=step,
    )
    try:
        with stopped_by_signals(service, 30):
            service.run()
    except StreamdriftError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
