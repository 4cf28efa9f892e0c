"""A keyed table of many rows that few changes are made to: what a commit and a restart cost.

python -m loadtest.table --keys 1000000 --changes 10000

No broker: what is timed is what keeps the service from anything else. At every commit as many
predictions come (28 bytes each) as have been labelled or have expired: the oldest, or any; or
rows are put again, of which there are hot ones and the rest. The topic is as compaction leaves
it; of its bytes those are live that are rows of the table.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from streamdrift.records import Ids
from streamdrift.state.log import MemoryLog
from streamdrift.state.segments import Rows
from streamdrift.state.table import TableLog
from tests.hash_table import HashTable
from tests.pending import COLUMNS, ROW_BYTES, compact, make_keys, make_rows, open_log, sizes

Change = Callable[[int], tuple[Rows, Ids]]
_NONE = make_keys([])


def workloads(keys: int, changes: int) -> dict[str, Change]:
    """Return what is put and deleted by the number of the commit."""
    random = np.random.default_rng(1)
    there = np.arange(keys)

    def oldest(commit: int) -> tuple[Rows, Ids]:
        first = keys + commit * changes
        come = np.arange(first, first + changes)
        return make_rows(come, commit), make_keys(come - keys)

    def any_of_them(commit: int) -> tuple[Rows, Ids]:
        first = keys + commit * changes
        come = np.arange(first, first + changes)
        places = random.choice(keys, changes, replace=False)
        gone, there[places] = there[places], come
        return make_rows(come, commit), make_keys(gone)

    def hot(commit: int) -> tuple[Rows, Ids]:
        return make_rows(random.choice(keys // 20, changes, replace=False), commit), _NONE

    return {"the oldest go": oldest, "any go": any_of_them, "hot ones put again": hot}


def measure(name: str, change: Change, keys: int, commits: int) -> None:
    """Print what a table costs that is changed so."""
    log = MemoryLog()
    table_log, table = open_log(log), HashTable(COLUMNS)
    table_log.load(None, table)
    table.put(make_rows(np.arange(keys)))
    start = time.perf_counter()
    head = table_log.write(table)
    first = time.perf_counter() - start
    written, seconds, topic = [], [], []
    for commit in range(commits):
        rows, gone = change(commit)
        table.delete(gone)
        table.put(rows)
        start = time.perf_counter()
        head = table_log.write(table)
        seconds.append(time.perf_counter() - start)
        written.append(table_log.written)
        log.flush()
        compact(log)
        log.records["state"] = [record for record in log.records["state"] if record[0]]
        topic.append(sum(sizes(log)))
    again: tuple[TableLog, HashTable] = open_log(log), HashTable(COLUMNS)
    start = time.perf_counter()
    again[0].load(head, again[1])
    restored = time.perf_counter() - start
    assert np.array_equal(again[1].rows().keys, table.rows().keys)
    live = len(table) * ROW_BYTES
    print(
        f"{name:18} {np.mean(written) / 1e3:8.0f} {np.max(written) / 1e3:8.0f} "
        f"{np.mean(seconds) * 1e3:7.1f} {np.quantile(seconds, 0.99) * 1e3:7.1f} {first:7.2f} "
        f"{live / 1e6:7.1f} {np.max(topic) / 1e6:7.1f} {np.max(topic) / live:6.2f} "
        f"{len(sizes(log)):8,} {restored:8.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--commits", type=int, default=400)
    options = parser.parse_args()
    print(f"{options.keys:,} rows, {options.changes:,} put at each of {options.commits} commits")
    print(
        f"{'':18} {'kB':>8} {'most kB':>8} {'ms':>7} {'99 %':>7} {'first s':>7} "
        f"{'live MB':>7} {'most MB':>7} {'ratio':>6} {'segments':>8} {'load s':>8}"
    )
    for name, change in workloads(options.keys, options.changes).items():
        measure(name, change, options.keys, options.commits)


if __name__ == "__main__":
    main()
