"""The command line: `streamdrift run`, `gateway`, `replay`, `tune`, `check`, and others."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from streamdrift import __version__
from streamdrift.cli.options import ConfigOption, LogLevel, LogOption, SetOption
from streamdrift.cli.state import state
from streamdrift.errors import StreamdriftError

# Each command imports what it needs when it is called: `--help` must not wait for a compiler.

app = typer.Typer(
    help="Finds drift in prediction events on Kafka, and publishes alerts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_BROKEN_PIPE = 141
"""What a shell makes of the signal that ends other programs in this case."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamdrift {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Find drift in prediction events on Kafka, and publish alerts."""


@app.command()
def run(
    config: ConfigOption = None,
    assignments: SetOption = None,
    log_level: LogOption = LogLevel.INFO,
    reset_state: Annotated[
        bool, typer.Option("--reset-state", help="Forget the stored state, and begin anew.")
    ] = False,
) -> None:
    """Watch the topics and publish alerts, until SIGTERM or SIGINT."""
    from streamdrift.commands.run import run_service
    from streamdrift.config import load_settings

    run_service(load_settings(config, assignments or ()), log_level.value, reset=reset_state)


@app.command()
def gateway(
    config: ConfigOption = None,
    assignments: SetOption = None,
    log_level: LogOption = LogLevel.INFO,
) -> None:
    """Take CloudEvents by HTTP and write them to a topic, until SIGTERM or SIGINT."""
    from streamdrift.commands.gateway import run_gateway
    from streamdrift.config import load_settings

    run_gateway(load_settings(config, assignments or ()), log_level.value)


@app.command()
def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file (.jsonl, .json or .csv, also with .gz, or .parquet), `-` for JSON Lines "
            "on stdin, or kafka://TOPIC[?from=TIME&to=TIME].",
        ),
    ],
    alerts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write alerts there as JSON Lines; by default they go to stdout, to a terminal "
            "as sentences.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page there (HTML, needs nothing else): the incidents, each signal's "
            "statistic against its threshold, and its values before and since its change.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model of events that name none; default: the file's stem.")
    ] = None,
    events_per_day: Annotated[
        float | None,
        typer.Option(
            min=1e-3, show_default="100000", help="Spacing of a file's rows without time."
        ),
    ] = None,
    journal: Annotated[
        bool,
        typer.Option(
            "--journal",
            help="Repeat the service's verdicts on idle partitions, and what operators asked.",
        ),
    ] = False,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Find the drift in history, faster than real time and without side effects.

    A file needs neither settings nor a broker: columns named like an event's fields are
    those, the others are features. A topic's `from` and `to` are times of the Kafka records,
    not of the events in them.
    """
    from streamdrift.commands.replay import ReplayOptions, run_replay
    from streamdrift.config import load_settings

    options = ReplayOptions(source, alerts, model, events_per_day, journal, report)
    run_replay(options, load_settings(config, assignments or ()))


@app.command()
def tune(
    source: Annotated[
        str,
        typer.Argument(
            metavar="HISTORY",
            help="What `replay` takes: a file, `-` for JSON Lines on stdin, or "
            "kafka://TOPIC[?from=TIME&to=TIME].",
        ),
    ],
    budgets: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            show_default="1/month,1/week,2/week,1/day,5/day",
            help="Budgets to try, beside that of the settings.",
        ),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Changes that are known (CSV or JSON Lines: model, from, until, signal): what "
            "each budget found, missed and raised falsely is counted.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything there.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model of events that name none; default: the file's stem.")
    ] = None,
    events_per_day: Annotated[
        float | None,
        typer.Option(
            min=1e-3, show_default="100000", help="Spacing of a file's rows without time."
        ),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Show what history would have told under several alert budgets, and how late.

    The history is read once, and nothing is published. It takes as long as a replay for each
    budget.
    """
    from streamdrift.commands.history import History
    from streamdrift.commands.tune import TuneOptions, run_tune
    from streamdrift.config import load_settings

    options = TuneOptions(History(source, model, events_per_day), budgets, known, json_file)
    run_tune(options, load_settings(config, assignments or ()))


@app.command()
def expect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model that will change.")],
    lasts: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="For how long, such as 2h.")
    ],
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="When it begins (RFC 3339); default: now."),
    ] = None,
    note: Annotated[str, typer.Option(help="Why: alerts say so.")] = "",
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who says so; default: the user.")
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Announce a planned change: incidents that begin meanwhile say so, and page nobody."""
    from streamdrift.commands.expect import ExpectOptions, run_expect
    from streamdrift.config import load_settings

    options = ExpectOptions(model, lasts, since, note, by)
    run_expect(options, load_settings(config, assignments or ()))


@app.command()
def check(
    config: ConfigOption = None,
    assignments: SetOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the settings only, not the broker.")
    ] = False,
) -> None:
    """Report every mistake of the settings at once, then try the connections and topics."""
    from streamdrift.commands.check import run_check
    from streamdrift.config import load_settings

    run_check(load_settings(config, assignments or ()), offline=offline)


@app.command()
def settings(
    config: ConfigOption = None,
    assignments: SetOption = None,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print the schema of the file, for editors.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print what each key is, and its default.")
    ] = False,
) -> None:
    """Print the settings in effect as YAML, secrets hidden."""
    import json

    from streamdrift.config import load_settings, settings_schema

    if markdown:
        from streamdrift.config.page import settings_page

        typer.echo(settings_page(), nl=False)
    elif json_schema:
        typer.echo(json.dumps(settings_schema(), indent=2))
    else:
        typer.echo(load_settings(config, assignments or ()).text(), nl=False)


@app.command("compile")
def compile_() -> None:
    """Compile what is fast now, for images: a first start does the same, once on a machine."""
    from streamdrift.commands.compile import run_compile

    run_compile()


app.add_typer(state, name="state")


@app.command()
def demo(
    seconds: Annotated[
        float, typer.Option(min=20, help="How long the traffic lasts, about.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
    injections: Annotated[
        bool,
        typer.Option("--injections/--no-injections", help="Whether to inject drift."),
    ] = True,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Use this broker, not an embedded one."),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text, no live display.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None,
) -> None:
    """Show everything at once: a broker, traffic with injected drift, and what is found."""
    from streamdrift.demo.run import DemoOptions, run_demo

    options = DemoOptions(seconds, seed, injections, bootstrap_servers, plain, json_file)
    raise typer.Exit(run_demo(options))


@app.command()
def traffic(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Is written to, and made if it is missing.")
    ],
    rate: Annotated[
        float, typer.Option(min=1, help="Mean events per second of each of the two models.")
    ] = 50.0,
    cycle: Annotated[
        str, typer.Option(metavar="TIME", help="In this time each kind of drift comes once.")
    ] = "30m",
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Send the demo's traffic and drift to a topic for ever, to try a deployment out with."""
    from streamdrift.commands.traffic import parse_cycles, run_traffic
    from streamdrift.config import load_settings

    run_traffic(load_settings(config, assignments or ()), topic, parse_cycles(rate, cycle, seed))


def main() -> None:
    """Run the command line; errors made for people end it with their own exit code."""
    try:
        app()
    except StreamdriftError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            # Whoever read our output has left, as `head` does; Python would fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_BROKEN_PIPE)
        typer.echo(f"streamdrift: {error}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
