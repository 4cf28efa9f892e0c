"""Becomes the command it is given, and ends with the process that started it (Linux).

    python leash.py PARENT_PID COMMAND ...

A program of its own, as only a process without threads can safely ask this between fork and
exec; what it asked outlasts the exec. Imports nothing of streamdrift: it runs in isolation.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the request cannot be waited for any more.
    if os.getppid() == int(parent):
        os.execv(command[0], command)  # noqa: S606 (the caller's own command, no shell)


if __name__ == "__main__":
    main()
