"""The log: one line per fact an operator can act on.

Levels: `error` certainly loses data or stops the service; `warning` needs someone to look;
`info` is a fact worth knowing; `debug` is for the developers of streamdrift.
"""

import json
import logging
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

import orjson
import structlog

from streamdrift.plain import plain

Level = Literal["debug", "info", "warning", "error"]


def set_up_logs(level: Level = "info", stream: TextIO | None = None) -> None:
    """Write the log to `stream` (stderr): readable on a terminal, else one JSON object a line.

    Records of libraries that use the standard `logging` come out in the same form.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor
    if stream.isatty():
        shared.append(_for_a_terminal)
        last = structlog.dev.ConsoleRenderer()
    else:
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer(serializer=_dump)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    # The Kafka client reports every try to connect at error; the service says it once itself.
    # Its debug lines are never shown: passwords and tokens stand in them in the clear.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.getLogger("kafka").setLevel(
        logging.INFO if number == logging.DEBUG else logging.CRITICAL
    )


def _for_a_terminal(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: object) -> object:
    """Return a value of a line without what a terminal would take for commands."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _dump(value: object, **_: object) -> str:
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(value, default=str, option=options).decode()
    except TypeError:
        # A log line must never fail: not for a lone surrogate in a name, nor anything else.
        return json.dumps(value, default=str, skipkeys=True)
