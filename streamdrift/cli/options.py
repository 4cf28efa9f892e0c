"""The options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_SETTINGS = "Settings"
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings file (YAML). Without one, the environment, --set and the defaults count.",
        rich_help_panel=_SETTINGS,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, over file and environment: --set kafka.bootstrap_servers=host:9092.",
        rich_help_panel=_SETTINGS,
    ),
]


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogOption = Annotated[LogLevel, typer.Option("--log-level", help="How much is logged.")]
