"""Programs that tests run beside streamdrift; tests without theirs are skipped, and say so."""

import os
import shutil
from typing import NoReturn

import pytest


def running_in_ci() -> bool:
    """Return whether a missing part must fail the run instead of shortening it."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def unavailable(reason: str) -> NoReturn:
    """Skip the test visibly; in CI fail, where nothing may be missing."""
    if running_in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """Return the path of a program that a Debian package has."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"no {name}: install it (on Debian: apt install {package})")
    return found
