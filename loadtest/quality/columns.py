"""Recorded streams: columns as arrays, and weeks of them drawn anew.

A column's blocks (weeks, or days of short ones) are drawn at random with replacement and put
one behind the other: in what comes of it nothing changes, but all rhythm, memory and bursts
within a block are real.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from loadtest.quality.streams import Kind, Stream
from streamdrift.records import Floats


class Column(NamedTuple):
    """A recorded column; `block` is how many values are drawn together."""

    name: str
    values: Floats
    block: int
    kind: Kind = "numeric"

    def redrawn(self) -> Stream:
        """Return the stream of which every path is blocks of this column, drawn at random."""
        whole = len(self.values) // self.block
        blocks = self.values[: whole * self.block].reshape(whole, self.block)

        def draw(random: np.random.Generator, size: int) -> Floats:
            drawn = random.integers(0, whole, -(-size // self.block))
            return blocks[drawn].ravel()[:size].astype(np.float64)

        return Stream(self.name, draw, self.kind)


HALF_HOURS = 336
FIVE_MINUTES = 2_016
DAY = 288
HOURS = 168

_VICTORIA = 17_760
"""Row of elec2 from which on the columns of Victoria are no constants."""

LOAN: Mapping[str, Kind] = {
    "car_value": "numeric",
    "salary_range": "category",
    "debt_to_income_ratio": "numeric",
    "loan_length": "numeric",
    "repaid_loan_on_prev_car": "rate",
    "size_of_downpayment": "category",
    "driver_tenure": "numeric",
}
"""The loan model's inputs, and what they are."""
LOAN_CHANGE = 75_000
"""Its row from which on some of them are others."""

_WEEKS: Mapping[str, int] = {
    "realKnownCause/nyc_taxi": HALF_HOURS,
    "realKnownCause/cpu_utilization_asg_misconfiguration": FIVE_MINUTES,
    "realTweets/Twitter_volume_AAPL": FIVE_MINUTES,
    "realTweets/Twitter_volume_CRM": FIVE_MINUTES,
    "realTweets/Twitter_volume_CVS": FIVE_MINUTES,
    "realTweets/Twitter_volume_GOOG": FIVE_MINUTES,
    "realTweets/Twitter_volume_IBM": FIVE_MINUTES,
    "realTweets/Twitter_volume_PFE": FIVE_MINUTES,
}
_OTHERS: Mapping[str, int] = {
    "realKnownCause/machine_temperature_system_failure": FIVE_MINUTES,
    "realAdExchange/exchange-2_cpc_results": HOURS,
    "realAdExchange/exchange-2_cpm_results": HOURS,
    "realAdExchange/exchange-3_cpm_results": HOURS,
    "realAWSCloudwatch/ec2_cpu_utilization_53ea38": DAY,
    "realAWSCloudwatch/ec2_cpu_utilization_77c1ca": DAY,
    "realAWSCloudwatch/ec2_cpu_utilization_ac20cd": DAY,
    "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de": DAY,
    "realAWSCloudwatch/ec2_network_in_257a54": DAY,
    "realAWSCloudwatch/grok_asg_anomaly": DAY,
    "realAWSCloudwatch/rds_cpu_utilization_cc0c53": DAY,
    "realTraffic/occupancy_6005": DAY,
}


def table(folder: Path, name: str) -> pa.Table:
    """Return one of the recorded files."""
    return parquet.read_table(folder / f"{name}.parquet")


def numbers(rows: pa.Table, field: str) -> Floats:
    """Return a column as float64, missing values as NaN; text as codes by order of appearance."""
    column = rows[field].combine_chunks()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        codes = column.dictionary_encode().indices
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))


def nab_series(folder: Path) -> Mapping[str, Floats]:
    """Return the values of each series of the Numenta Anomaly Benchmark that is there."""
    rows = table(folder, "nab")
    names = compute.unique(rows["series"]).to_pylist()
    return {
        name: numbers(rows.filter(compute.equal(rows["series"], name)), "value") for name in names
    }


def weekly(folder: Path) -> Sequence[Column]:
    """Return the 13 columns with a week: electricity, taxi rides, servers and tweets."""
    rows = table(folder, "elec2")
    prices = [
        Column(f"elec2 {field}", numbers(rows, field)[first:], HALF_HOURS)
        for field, first in (
            ("nswprice", 0),
            ("nswdemand", 0),
            ("vicprice", _VICTORIA),
            ("vicdemand", _VICTORIA),
            ("transfer", _VICTORIA),
        )
    ]
    return [*prices, *_of_nab(folder, _WEEKS)]


def held_out(folder: Path) -> Sequence[Column]:
    """Return other columns, drawn by the week or, as most last two weeks, by the day."""
    return list(_of_nab(folder, _OTHERS))


def _of_nab(folder: Path, blocks: Mapping[str, int]) -> Iterator[Column]:
    series = nab_series(folder)
    for name, block in blocks.items():
        yield Column(name.split("/")[1], series[name], block)


def skab(folder: Path) -> Sequence[Column]:
    """Return the sensors of the water circulation testbed without a fault, by ten minutes."""
    rows = table(folder, "skab_anomaly_free")
    return [
        Column(f"SKAB {field}", numbers(rows, field), 600)
        for field in rows.column_names
        if field != "datetime"
    ]


def shuffled(folder: Path) -> Sequence[Stream]:
    """Return real columns whose values are drawn one by one: independent, with real ties."""
    loan, insects = table(folder, "car_loan"), table(folder, "insects_gradual")
    columns = [
        *weekly(folder)[:2],
        *(column for column in weekly(folder) if column.name in _TIED),
        Column("car_value", numbers(loan, "car_value"), 1),
        Column("loan_length", numbers(loan, "loan_length"), 1),
        Column("insects Att2", numbers(insects, _first_feature(insects)), 1),
    ]
    return [
        column._replace(name=f"shuffled {column.name}", block=1).redrawn() for column in columns
    ]


_TIED = ("nyc_taxi", "Twitter_volume_AAPL", "Twitter_volume_CVS")


def _first_feature(rows: pa.Table) -> str:
    names: Sequence[str] = rows.column_names
    return next(name for name in names if name.startswith("Att"))
