"""`streamdrift compile`, and the first part of every start: kernels, compiled once on a machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamdrift.errors import OutputError
from streamdrift.kernels.cache import VARIABLE, cache_folder, why_unwritable
from streamdrift.serving.compiling import Tell, are_compiled, compile_kernels, telling_compiled

_TITLE = "compiling kernels"
_EVERY = 5.0
"""Seconds between two lines about it."""
_log = structlog.get_logger("streamdrift")


def run_compile() -> None:
    """Compile all kernels, and say where they are; raise OutputError where none can be kept."""
    if are_compiled():
        typer.echo(f"all kernels are compiled: {cache_folder()}")
        return
    with _shown(lambda done, total: typer.echo(f"{_TITLE}: {done} of {total}", err=True)) as tell:
        found = compile_kernels(tell)
    if found.unkept is not None:
        raise OutputError(
            f"compiled kernels cannot be kept in {cache_folder()}: {found.unkept}",
            hint=f"name a folder that can be written with the variable {VARIABLE}",
        )
    typer.echo(f"{found.compiled} functions compiled in {found.seconds:.0f} s: {cache_folder()}")


def compile_at_start(go_on: Callable[[], None]) -> None:
    """Compile what is not on disk before anything is read; call `go_on` now and then."""
    if are_compiled():
        return
    unwritable = why_unwritable()
    if unwritable is not None:
        _warn(unwritable)
    with _shown(lambda done, total: _log.info(_TITLE, compiled=done, of=total)) as tell:

        def told(done: int, total: int) -> None:
            go_on()
            tell(done, total)

        found = compile_kernels(told)
    if found.unkept not in (None, unwritable):
        _warn(str(found.unkept))
    _log.info("kernels compiled", functions=found.compiled, seconds=round(found.seconds, 1))


@contextmanager
def saying_compiled() -> Iterator[None]:
    """Say once on stderr what takes so long where something is compiled in the block.

    For commands that need some kernels only, and not at once.
    """
    said = False

    def say(_: str) -> None:
        nonlocal said
        if not said:
            typer.echo(f"{_TITLE}, once on this machine: this may take a minute", err=True)
        said = True

    with telling_compiled(say):
        yield


def _warn(reason: str) -> None:
    _log.warning(
        "compiled kernels cannot be kept: every start compiles them anew",
        folder=str(cache_folder()),
        reason=reason,
        hint=f"name a folder that can be written with the variable {VARIABLE}",
    )


@contextmanager
def _shown(say: Tell) -> Iterator[Tell]:
    """Show a bar on a terminal; elsewhere `say` it at once, and every few seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _now_and_then(say)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(_TITLE, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _now_and_then(say: Tell) -> Tell:
    last = float("-inf")

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            say(done, total)

    return tell
