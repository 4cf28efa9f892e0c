import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog

from streamdrift.logs import set_up_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_fact_is_one_json_object_a_line() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    structlog.get_logger().info("reference complete", model="fraud", events=np.int64(3), text="ä\n")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "reference complete",
        "level": "info",
        "model": "fraud",
        "events": 3,
        "text": "ä\n",
    }


def test_no_name_from_an_event_can_break_a_line() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    structlog.get_logger().info("columns appeared", columns=["na\ud83dve"])
    (line,) = lines(stream)
    assert line["columns"] == ["na\ud83dve"]


def test_levels_below_the_chosen_one_are_left_out() -> None:
    stream = io.StringIO()
    set_up_logs("warning", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("commit failed")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "ValueError: broken" in line["exception"]


def test_records_of_libraries_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    logging.getLogger("somewhere").warning("%d left", 3)
    logging.getLogger("somewhere").info("chatter")
    logging.getLogger("kafka.conn").warning("reconnecting")
    (line,) = lines(stream)
    assert line["event"] == "3 left"
    assert line["logger"] == "somewhere"
    assert line["level"] == "warning"


def test_debug_shows_what_the_kafka_client_does_and_not_what_it_sends() -> None:
    """There are passwords in its debug lines."""
    stream = io.StringIO()
    set_up_logs("debug", stream)
    client = logging.getLogger("kafka.net.connection")
    client.debug("auth_bytes=%r", b"tester\x00tester\x00a secret")
    client.info("Connected")
    structlog.get_logger().debug("ours")
    assert [line["event"] for line in lines(stream)] == ["Connected", "ours"]


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    set_up_logs(stream=stream)
    structlog.get_logger().info("reference complete", model="fraud")
    text = stream.getvalue()
    assert "reference complete" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_a_terminal_gets_no_commands_from_names_in_the_stream() -> None:
    stream = Terminal()
    set_up_logs(stream=stream)
    name = "x\x1b]0;title\x07\u202e"
    structlog.get_logger().info("columns appeared", model=name, columns=[name], by={name: name})
    logging.getLogger("somewhere").warning("of %s", name)
    text = stream.getvalue()
    assert not {"\x07", "\u202e"} & set(text)
    assert "\x1b]" not in text
    assert text.count("u202e") == 5


def test_json_has_names_as_they_are() -> None:
    stream = io.StringIO()
    set_up_logs(stream=stream)
    structlog.get_logger().info("model version appeared", model="x\x1b[31m\u202e")
    (line,) = lines(stream)
    assert line["model"] == "x\x1b[31m\u202e"
