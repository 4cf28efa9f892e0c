import gzip
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.errors import InputError
from streamdrift.records import Batch, ColumnKey, Group, Kind
from streamdrift.sources.file import CHUNK, open_file
from tests.batches import START, feature
from tests.messages import event


def _batches(path: Path | str, **options: Any) -> list[Batch]:
    source = open_file(str(path), **options)
    decoder = make_decoder("json", source.layout.mapping)
    decoded = [decoder.decode(chunk) for chunk in source]
    assert all(part.dead_letters == () for part in decoded)
    return [batch for part in decoded for batch in part.batches]


def _write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _features(batch: Batch) -> set[str]:
    return {key.name for key in batch.columns if key.group is Group.FEATURE}


def _outputs(batch: Batch) -> set[str]:
    return {key.name for key in batch.columns if key.group is Group.OUTPUT}


def test_events_as_the_service_reads_them_are_left_alone(tmp_path: Path) -> None:
    path = _write(tmp_path / "day.jsonl", event() + b"\n\n" + event(model="other") + b"\n")
    assert open_file(str(path)).layout.mapping == {"time": "/timestamp"}
    assert [batch.model for batch in _batches(path)] == ["fraud", "other"]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".jsonl.gz"])
def test_flat_lines_are_features_and_the_stem_is_the_model(tmp_path: Path, suffix: str) -> None:
    lines = (
        b'{"age": 3, "score": 0.5, "timestamp": 1767225600}\n'
        b'{"age": null, "timestamp": 1767225601}\n'
    )
    content = gzip.compress(lines) if suffix.endswith(".gz") else lines
    (batch,) = _batches(_write(tmp_path / f"churn{suffix}", content))
    assert (batch.model, batch.version) == ("churn", "")
    assert _features(batch) == {"age"}
    assert _outputs(batch) == {"score", "null"}
    assert batch.time[0] == START


def test_json_array_is_a_list_of_events(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "churn.json", ' [{"age": 3}, {"age": 4}]'))
    assert batch.offset.tolist() == [0, 1]


def test_csv_cells_are_typed_one_by_one(tmp_path: Path) -> None:
    text = '\ufeffage,city,paid,prediction\n3,"Bonn, am Rhein",true,ok\n,NA,False,no\n1e3,x,,ok\n'
    (batch,) = _batches(_write(tmp_path / "churn.csv", text))
    age, city = batch.columns[feature("age")], batch.columns[feature("city")]
    assert age.kinds.tolist() == [Kind.NUMBER, Kind.NULL, Kind.NUMBER]
    assert city.strings == ("Bonn, am Rhein", "x")
    assert batch.columns[feature("paid")].kinds.tolist() == [
        Kind.BOOLEAN,
        Kind.BOOLEAN,
        Kind.NULL,
    ]
    assert "label" in _outputs(batch)


def test_names_in_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    text = "model,version,user_id,label,zip\nm,3.10,7,1,90210\nm,3.1,8,none,01005\n"
    batches = _batches(_write(tmp_path / "churn.csv", text))
    assert [batch.version for batch in batches] == ["3.10", "3.1"]
    strings = [
        [batch.columns[key].strings for key in (feature("user_id"), feature("zip"))]
        for batch in batches
    ]
    assert strings == [[("7",), ("90210",)], [("8",), ("01005",)]]
    labels = [batch.columns[ColumnKey(Group.OUTPUT, "label")].strings for batch in batches]
    assert labels == [("1",), ("none",)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_separated_by_what_separates_its_header(tmp_path: Path, delimiter: str) -> None:
    lines = delimiter.join(["amount", "country"]), delimiter.join(["1.5", "DE"])
    (batch,) = _batches(_write(tmp_path / "a.csv", "\n".join(lines)))
    assert _features(batch) == {"amount", "country"}
    assert batch.columns[feature("amount")].numbers.tolist() == [1.5]


@pytest.mark.parametrize(
    ("delimiter", "cells", "numbers"),
    [
        (";", ["391,02", "13,86", "-7", "1.234,5"], [391.02, 13.86, -7.0, 1234.5]),
        ("\t", ["1,234", "2,5", "1e3", "0,5"], [1.234, 2.5, 1000.0, 0.5]),
        (",", ["1,234", "416", "12,345,678.5", "950"], [1234.0, 416.0, 12345678.5, 950.0]),
        (",", ["391,02", "1,5", "7", "0,25"], [391.02, 1.5, 7.0, 0.25]),
        (";", ["1.5", "2.5", "3.25", "4"], [1.5, 2.5, 3.25, 4.0]),
    ],
)
def test_commas_within_numbers_are_read_as_their_column_and_file_use_them(
    tmp_path: Path, delimiter: str, cells: list[str], numbers: list[float]
) -> None:
    rows = "".join(f'"{cell}"{delimiter}DE\n' for cell in cells)
    (batch,) = _batches(_write(tmp_path / "a.csv", f"amount{delimiter}country\n{rows}"))
    assert batch.columns[feature("amount")].numbers.tolist() == numbers


def test_a_column_in_which_commas_also_separate_words_is_text(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "a.csv", "tags;n\n1,5;2\nred,blue;3\n"))
    assert batch.columns[feature("tags")].strings == ("1,5", "red,blue")


def test_a_cell_that_does_not_fit_the_numbers_before_it_stays_text(tmp_path: Path) -> None:
    rows = "1,5;2\n" * 10_000
    *_, batch = _batches(_write(tmp_path / "a.csv", f"amount;n\n{rows}n.a.!;2\n"))
    assert batch.columns[feature("amount")].strings == ("n.a.!",)


def test_the_index_of_a_data_frame_needs_no_name(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "a.csv", ",age\n0,31\n1,42\n"))
    assert _features(batch) == {"index", "age"}


def test_csv_with_a_header_in_quotes_is_separated_by_commas(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "a.csv", '"a;b;c",d\n1,2\n'))
    assert _features(batch) == {"a;b;c", "d"}


def test_a_missing_value_written_as_nan_hides_no_event(tmp_path: Path) -> None:
    row = {**json.loads(event()), "features": {"age": float("nan"), "big": 1 << 70}}
    lines = _batches(_write(tmp_path / "a.jsonl", json.dumps(row) + "\n"))
    array = _batches(_write(tmp_path / "a.json", json.dumps([row])))
    for (batch,) in (lines, array):
        assert batch.model == "fraud"
        assert _features(batch) == {"age", "big"}
        assert batch.columns[feature("age")].kinds.tolist() == [Kind.NULL]
        assert batch.columns[feature("big")].numbers.tolist() == [float(1 << 70)]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("timestamp", "2026-01-01T00:00:00Z"),
        ("Timestamp", 1_767_225_600),
        ("TIME", 1_767_225_600_000),
        ("datetime", "1767225600000000"),
        ("Date", "2026-01-01"),
    ],
)
def test_a_column_named_like_a_time_is_the_time_where_it_holds_times(
    tmp_path: Path, name: str, cell: object
) -> None:
    path = _write(tmp_path / "a.jsonl", json.dumps({name: cell, "age": 1}))
    assert open_file(str(path)).layout.time == name
    (batch,) = _batches(path)
    assert batch.time.tolist() == [START]
    assert _features(batch) == {"age"}


@pytest.mark.parametrize("cell", [0.5, 86_400, 1e21, "monday", "12:30", True, [1], -1e9])
def test_a_column_named_like_a_time_is_a_feature_where_it_holds_none(
    tmp_path: Path, cell: object
) -> None:
    path = _write(tmp_path / "a.jsonl", json.dumps({"time": cell, "age": 1}))
    layout = open_file(str(path)).layout
    assert (layout.time, layout.passed_over) == (None, ("time",))
    (batch,) = _batches(path)
    assert _features(batch) == {"age", "time"}


def test_the_likeliest_column_that_holds_times_is_the_time(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", "time,Date\n0.5,2026-01-01\n")
    assert open_file(str(path)).layout.time == "Date"
    (batch,) = _batches(path)
    assert _features(batch) == {"time"}


def test_dates_that_cannot_be_read_are_meant_as_the_time_all_the_same(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", "time,a\n01/02/2026 10:00,1\n")
    assert open_file(str(path)).layout.time == "time"


def test_what_a_mapping_says_of_the_time_goes_before_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", "time,at\n2026-01-01,2026-01-02\n")
    assert open_file(str(path), mapping={"time": "/at"}).layout.time == "at"
    layout = open_file(str(path), mapping={"time": None}).layout
    assert (layout.time, layout.passed_over) == (None, ())


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "timestamp": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)],
            "price": [Decimal("1.5"), None],
            "day": [date(2026, 1, 1), None],
            "user": [{"age": 3}, {"age": 4}],
            "embedding": [[0.5, 1.5], [1.0, 2.0]],
            "nan": [float("nan"), 1.0],
            "score": [0.1, 0.2],
        }
    )
    pq.write_table(table, tmp_path / "loan.parquet")
    (batch,) = _batches(tmp_path / "loan.parquet")
    assert batch.model == "loan"
    assert _features(batch) == {"price", "day", "user.age", "embedding", "nan"}
    assert batch.columns[feature("embedding")].kinds.tolist() == [Kind.VECTOR] * 2
    assert batch.columns[feature("nan")].kinds.tolist() == [Kind.NULL, Kind.NUMBER]
    assert batch.time.tolist() == [START, START + 86_400_000_000]


def test_parts_that_no_row_has_are_not_watched(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "churn.csv", "age\n1\n2\n"))
    assert {key.name for key in batch.columns} == {"age"}


def test_rows_without_time_are_spaced_and_said_to_be(tmp_path: Path) -> None:
    path = _write(tmp_path / "churn.csv", "age\n1\n2\n3\n")
    assert open_file(str(path)).layout.time is None
    (batch,) = _batches(path, events_per_day=24)
    assert np.diff(batch.time).tolist() == [3_600_000_000] * 2
    timed = _write(tmp_path / "timed.csv", "age,time\n1,2026-01-01\n")
    assert open_file(str(timed)).layout.time == "time"
    (batch,) = _batches(timed)
    assert _features(batch) == {"age"}
    assert batch.time[0] == START


def test_model_option_names_events_that_name_none(tmp_path: Path) -> None:
    (batch,) = _batches(_write(tmp_path / "a.csv", "age\n1\n"), model="fraud")
    assert batch.model == "fraud"


def test_model_column_names_the_model(tmp_path: Path) -> None:
    batches = _batches(_write(tmp_path / "a.csv", "age,model,version\n1,m,7\n2,n,x\n"))
    assert [(batch.model, batch.version) for batch in batches] == [("m", "7"), ("n", "x")]


def test_large_files_come_in_chunks_with_progress(tmp_path: Path) -> None:
    lines = b"".join(orjson.dumps({"age": row}) + b"\n" for row in range(3 * CHUNK))
    source = open_file(str(_write(tmp_path / "a.jsonl", lines)))
    offsets = []
    for chunk in source:
        offsets += chunk.offset.tolist()
        assert 0 <= source.progress.done <= len(lines)
    assert offsets == list(range(3 * CHUNK))
    assert source.progress.done == source.progress.total == len(lines)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_stdin_is_json_lines(
    monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    stream = io.BufferedReader(io.BytesIO(pack(b'{"age": 3}\n')))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    (batch,) = _batches("-")
    assert batch.model == "stdin"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "", "has no rows"),
        ("a.csv", "age,city\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "age,age\n1,2\n", "names the column 'age' more than once"),
        ("a.csv", "age,\n1,2\n", "no name for column 2"),
        ("a.csv", "age,city\n1,Bonn\n1,Bonn,NRW\n", "line 3: 3 cells under 2 columns"),
        ("a.csv", b"age\n\xff\xfe\n", "line 2"),
        ("a.csv", 'age\n"open', "line"),
        ("a.json", "[{]", "no JSON array"),
        ("a.parquet", "rubbish", "no Parquet file"),
        ("a.jsonl.gz", "rubbish", "no whole gzip file"),
        ("a.jsonl.gz", gzip.compress(b'{"age": 1}\n' * 9_999)[:-20], "no whole gzip file"),
        ("a.xlsx", "x", "cannot be read"),
        ("a.parquet.gz", "x", "cannot be read"),
        ("a.csv", b"\x00\xff\x80", "line 1"),
        ("a.parquet", "", "no Parquet file"),
    ],
)
def test_what_cannot_be_read_is_said_with_file_and_place(
    tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    path = _write(tmp_path / name, content)
    with pytest.raises(InputError, match=said) as caught:
        list(open_file(str(path)))
    assert name in str(caught.value)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_file(str(tmp_path / "none.csv"))
    for name in ("folder.csv", "folder"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="is a folder"):
            open_file(str(tmp_path / name))


def test_a_file_without_rights_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    path = _write(tmp_path / "a.csv", "age\n1\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="may not be read") as caught:
        open_file(str(path))
    assert caught.value.hint
