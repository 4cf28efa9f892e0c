"""Alerts in files: appended, durable, whole lines only."""

import io
import json
import os
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from streamdrift.errors import OutputError
from streamdrift.sinks.file import FileSink, StreamSink, written_anew
from tests.alerts import make_alert


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"][-2:] for line in path.read_text().splitlines()]


def write(path: Path, *numbers: int) -> None:
    sink = FileSink(path, "streamdrift")
    sink.write([make_alert(number) for number in numbers])
    sink.flush()
    sink.close()


def test_alerts_are_appended_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "alerts.jsonl"
    write(path, 1, 2)
    write(path, 3)
    assert ids(path) == ["01", "02", "03"]


@pytest.mark.parametrize("kept", [1, 20, 200])
def test_a_line_that_a_crash_cut_is_removed(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "alerts.jsonl"
    write(path, 1, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:kept])
    write(path, 2)
    assert ids(path) == ["01", "02"]


def test_a_long_unfinished_line_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    write(path, 1)
    with path.open("ab") as file:
        file.write(b'{"specversion":"1.0","id":"' + b"x" * 200_000)
    write(path, 2)
    assert ids(path) == ["01", "02"]


def test_somebody_elses_last_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("first\nno line end")
    write(path, 1)
    assert path.read_text().splitlines()[:2] == ["first", "no line end"]


def test_a_device_is_only_written_to() -> None:
    write(Path(os.devnull), 1)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        FileSink(tmp_path / "taken" / "alerts.jsonl", "streamdrift")


def test_a_stream_is_left_open() -> None:
    stream = io.BytesIO()
    sink = StreamSink(stream, "streamdrift")
    sink.write([make_alert(1)])
    sink.flush()
    sink.close()
    assert json.loads(stream.getvalue())["subject"] == "fraud/3"


def test_a_stream_that_nobody_reads_is_an_output_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        sink = StreamSink(cast(BinaryIO, stream), "streamdrift")
        with pytest.raises(OutputError, match="the output"):
            sink.write([make_alert(1)])


def test_a_file_written_anew_keeps_what_it_had_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text("old")
    path.chmod(0o600)
    with written_anew(path) as stream:
        stream.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError), written_anew(path) as stream:
        stream.write(b"half" * (1 // 0))
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one_when_its_file_is_written_anew(tmp_path: Path) -> None:
    target, link = tmp_path / "alerts.jsonl", tmp_path / "latest"
    target.write_text("old")
    link.symlink_to(target)
    with written_anew(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_device_is_written_to_at_once() -> None:
    with written_anew(Path(os.devnull)) as stream:
        stream.write(b"new")
    assert not Path(os.devnull).is_file()
