"""`streamdrift state ls`, `show`, `export`, `import`, `reshard` and `reset`."""

from pathlib import Path
from typing import Annotated

import typer

from streamdrift.cli.options import ConfigOption, SetOption

# Each command imports what it needs when it is called, as in `__main__`.

state = typer.Typer(
    help="Look at what is remembered, keep it in a file, put it back, forget it.",
    no_args_is_help=True,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@state.command()
def ls(
    as_json: JsonOption = False, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """List the deployments whose state is in the state topic, and who claimed each last."""
    from streamdrift.commands.state import run_ls
    from streamdrift.config import load_settings

    run_ls(load_settings(config, assignments or ()), as_json=as_json)


@state.command()
def show(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An exported file; by default the state topic."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Show this model only.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Show what is remembered: settings, positions, model versions, incidents, alerts."""
    from streamdrift.commands.state import run_show
    from streamdrift.config import load_settings

    run_show(load_settings(config, assignments or ()), file, model, as_json=as_json)


@state.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Is written anew.")],
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Write the last whole snapshot, and what was journaled since, into a file."""
    from streamdrift.commands.state import run_export
    from streamdrift.config import load_settings

    run_export(load_settings(config, assignments or ()), file)


@state.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the state the deployment has already.")
    ] = False,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Let the deployment go on from an exported file; a process that runs it is ended."""
    from streamdrift.commands.state import run_import
    from streamdrift.config import load_settings

    run_import(load_settings(config, assignments or ()), file, force=force)


@state.command()
def reshard(
    shards: Annotated[int, typer.Option(min=1, max=1_024, help="How many there are to be.")],
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Divide the state of a deployment that is stopped into another number of shards."""
    from streamdrift.commands.state import run_reshard
    from streamdrift.config import load_settings

    run_reshard(load_settings(config, assignments or ()), shards)


@state.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Forget the state, as `run --reset-state` does; a process that runs it is ended."""
    from streamdrift.commands.state import run_reset
    from streamdrift.config import load_settings

    run_reset(load_settings(config, assignments or ()), yes=yes)
