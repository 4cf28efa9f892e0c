import gzip
import io
import sys
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
from streamdrift.records import Batch, Group, Kind
from streamdrift.sources.file import CHUNK, open_file
from tests.batches import START, feature
from tests.messages import event


def _batches(path: Path | str, **options: Any) -> list[Batch]:
    source = open_file(str(path), **options)
    decoder = make_decoder("json", source.mapping or {})
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
    assert open_file(str(path)).mapping is None
    assert [batch.model for batch in _batches(path)] == ["fraud", "other"]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".jsonl.gz"])
def test_flat_lines_are_features_and_the_stem_is_the_model(tmp_path: Path, suffix: str) -> None:
    lines = b'{"age": 3, "score": 0.5, "timestamp": 1767225600}\n{"age": null}\n'
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
    assert not open_file(str(path)).timed
    (batch,) = _batches(path, events_per_day=24)
    assert np.diff(batch.time).tolist() == [3_600_000_000] * 2
    timed = _write(tmp_path / "timed.csv", "age,time\n1,2026-01-01\n")
    assert open_file(str(timed)).timed
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


def test_stdin_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"age": 3}\n')))
    (batch,) = _batches("-")
    assert batch.model == "stdin"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "", "has no rows"),
        ("a.csv", "age,city\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "age,age\n1,2\n", "every column once"),
        ("a.csv", "age,\n1,2\n", "every column once"),
        ("a.csv", "age,city\n1,Bonn\n1,Bonn,NRW\n", "line 3: 3 cells under 2 columns"),
        ("a.csv", b"age\n\xff\xfe\n", "line 2"),
        ("a.csv", 'age\n"open', "line"),
        ("a.json", "[{]", "no JSON array"),
        ("a.parquet", "rubbish", "no Parquet file"),
        ("a.jsonl.gz", "rubbish", "no whole gzip file"),
        ("a.jsonl.gz", gzip.compress(b'{"age": 1}\n' * 9_999)[:-20], "no whole gzip file"),
        ("a.xlsx", "x", "cannot be read"),
        ("a.parquet.gz", "x", "cannot be read"),
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
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        open_file(str(tmp_path / "folder.csv"))
