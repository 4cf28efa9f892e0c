"""The state in a file: what is written is read, and what is no such file is refused."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from streamdrift.commands.overview import overview
from streamdrift.errors import InputError, StateError
from streamdrift.records import Floor, Partition
from streamdrift.serving.assembly import make_pipeline
from streamdrift.serving.resharding import reshard
from streamdrift.state import Ownership, Published, Saved
from streamdrift.state.archive import Archive, pack, put, take, unpack
from streamdrift.state.journal import Journaled
from streamdrift.state.log import MemoryLog
from streamdrift.state.ownership import Claim
from streamdrift.state.store import CHUNK_BYTES
from tests import exported

_FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("state-export-?.sds"))
_OF_RANKS = _FIXTURES[0].parent / "state-export-2-of-ranks.sds"
"""The state of before references learned: it was never released."""
_SINCE = Journaled(
    (exported.FLOOR,), Published(frozenset({"a", "b"}), {(exported.FLOOR.partition, 0): 4})
)
_SMALL = Archive(
    "one", {0: Saved(b"snapshot", 2, 2), 1: Saved(b"more", 3, 3)}, 4, Claim(0, "host/1"), _SINCE
)


def _large(text: bytes) -> dict[int, bytes]:
    return {0: text * 3 * CHUNK_BYTES, 1: text}


def _contents(log: MemoryLog, name: str = "one") -> tuple[dict[int, bytes], Journaled]:
    """Return what a start finds."""
    stored = exported.store(log, name, 2).load()
    return exported.contents(stored), Journaled(stored.floors, stored.published)


_SMALL_CONTENTS = ({0: b"snapshot", 1: b"more"}, _SINCE)


def _put(log: MemoryLog, archive: Archive, name: str = "one", *, force: bool = False) -> None:
    """Put an archive into a deployment as a process that claims it does."""
    Ownership(name, "journal", f"import/{log.appended}").claim(log)
    put(archive, exported.store(log, name), force=force)
    log.commit()


def _publish(log: MemoryLog, number: int) -> None:
    store = exported.store(log)
    store.journal((), Published(frozenset({str(number)})))
    log.commit()


@pytest.mark.parametrize("archive", [_SMALL, replace(_SMALL, claim=None, since=Journaled())])
def test_what_is_packed_is_unpacked(archive: Archive) -> None:
    assert unpack(pack(archive), "file") == archive


def test_there_is_a_file_of_every_format() -> None:
    assert [file.name for file in _FIXTURES] == ["state-export-1.sds", "state-export-2.sds"]


def test_the_first_format_which_was_never_released_is_refused() -> None:
    with pytest.raises(InputError, match=r"1\.sds has format 1, this version reads format 2"):
        unpack(_FIXTURES[0].read_bytes(), _FIXTURES[0].name)


@pytest.mark.parametrize("file", _FIXTURES[1:], ids=lambda file: file.name)
def test_a_file_of_every_format_is_still_read(file: Path) -> None:
    archive = unpack(file.read_bytes(), file.name)
    assert (archive.deployment, archive.sequence) == ("one", 1)
    assert (archive.journal, archive.journal_end) == (1, 4)
    assert archive.claim == Claim(0, "host/1")
    assert archive.since == _SINCE
    pipeline = make_pipeline(exported.settings())
    pipeline.restore(exported.decoded(archive.snapshots))
    assert [version.model for version in pipeline.monitor.versions()] == ["fraud", "young"]
    assert pipeline.ordering.positions() == {Partition("predictions", 0): 1_500}


def test_another_format_is_refused() -> None:
    data = bytearray(pack(_SMALL))
    data[4] = 9
    with pytest.raises(InputError, match="file has format 9, this version reads format 2"):
        unpack(bytes(data), "file")


def test_a_file_of_something_else_is_refused() -> None:
    for data in (b"", b"SD", b"rubbish" * 9):
        with pytest.raises(InputError, match="no exported state") as caught:
            unpack(data, "file")
        assert "streamdrift state export" in str(caught.value.hint)


def test_a_wrong_checksum_is_refused_wherever_a_byte_is_wrong() -> None:
    whole = pack(_SMALL)
    # Behind the lengths, which say how much of the file there should be.
    for place in (5, 25, len(whole) - 1):
        data = bytearray(whole)
        data[place] ^= 1
        with pytest.raises(InputError, match="file is damaged: its checksum does not match"):
            unpack(bytes(data), "file")


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    whole = pack(_SMALL)
    for size in range(5, len(whole)):
        with pytest.raises(InputError, match=f"file is cut off: it has {size} "):
            unpack(whole[:size], "file")
    with pytest.raises(InputError, match="damaged"):
        unpack(whole + b"more", "file")


def test_nothing_is_taken_where_nothing_is() -> None:
    assert take([exported.store(MemoryLog())]) is None


def test_it_goes_on_in_another_deployment() -> None:
    log = MemoryLog()
    large = {0: Saved(b"ab" * CHUNK_BYTES, 1, 0), 1: Saved(b"more", 1, 0)}
    _put(log, replace(_SMALL, snapshots=large), "two")
    assert _contents(log, "two") == ({0: b"ab" * CHUNK_BYTES, 1: b"more"}, _SINCE)
    assert _contents(log, "one") == ({}, Journaled())


@pytest.mark.parametrize("transactional", [True, False])
def test_state_is_not_overwritten_unless_forced(transactional: bool) -> None:
    log = MemoryLog(transactional=transactional)
    for text in (b"a", b"b"):
        exported.store(log, "one", 2).save(_large(text))
        log.commit()
    with pytest.raises(StateError, match="'one' has state already") as caught:
        _put(log, _SMALL)
    assert "--force" in str(caught.value.hint)
    log.crash(keep=False)
    assert _contents(log)[0] == _large(b"b")
    _put(log, _SMALL, force=True)
    assert _contents(log) == _SMALL_CONTENTS
    # Nothing else is left that a later start could fall back on.
    last = dict(log.records["state"])
    assert sum(value is not None for value in last.values()) == 4


def test_what_was_only_journaled_is_state_too() -> None:
    log = MemoryLog()
    _publish(log, 1)
    with pytest.raises(StateError, match="has state already"):
        _put(log, _SMALL)


@pytest.mark.parametrize("key", ["one/0/manifest/0", "one/0/slot/0/0", "one/manifest/0"])
def test_state_that_cannot_be_read_is_replaced_where_forced(key: str) -> None:
    log = MemoryLog()
    exported.store(log, "one", 2).save(_large(b"a"))
    log.append("state", key, b"rubbish")
    log.flush()
    with pytest.raises(StateError, match="has state already"):
        _put(log, _SMALL)
    _put(log, _SMALL, force=True)
    assert _contents(log) == _SMALL_CONTENTS


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_whoever_dies_amid_it_leaves_something_to_load(keep: bool, shards: int) -> None:
    """Also where what is put in has another number of shards."""
    new = {shard: Saved(b"new", 1, 0) for shard in range(shards)}
    found = set()
    for appends in range(20):
        log = MemoryLog()
        exported.store(log, "one", 2).save({0: b"old", 1: b"old"})
        replaced = exported.store(log)
        _die_after(log, appends)
        with suppress(InterruptedError):
            replaced.replace(new, _SINCE, force=True)
        vars(log).pop("append", None)
        log.crash(keep=keep)
        left = exported.store(log).last()
        found.add((len(left), *{saved.snapshot for saved in left.values()}))
        # Whatever it is, the next snapshots go on from it.
        again = exported.store(log, "one", len(left))
        again.load()
        again.save({0: b"next"})
        after = exported.store(log, "one", len(left)).load().snapshots
        assert after[0].snapshot == b"next"
        assert len(after) == len(left)
    assert found == {(2, b"old"), (shards, b"new")}


def _die_after(log: MemoryLog, appends: int) -> None:
    allowed, append = log.appended + appends, log.append

    def mortal(topic: str, key: str, value: bytes | None, *, partition: int = 0) -> None:
        if log.appended == allowed:
            raise InterruptedError
        append(topic, key, value, partition=partition)

    log.append = mortal  # type: ignore[method-assign]


def test_a_state_of_before_references_learned_is_refused() -> None:
    archive = unpack(_OF_RANKS.read_bytes(), _OF_RANKS.name)
    states = exported.decoded(archive.snapshots)
    words = "of the models has format 1, this version reads format 4"
    with pytest.raises(StateError, match=words) as error:
        make_pipeline(exported.settings()).restore(states)
    assert "`streamdrift state reset`" in str(error.value.hint)
    for use in (lambda: overview(states, Published()), lambda: reshard(states, 5)):
        with pytest.raises(StateError, match=words):
            use()


def test_put_back_into_its_own_deployment_it_repeats_no_alert_published_since() -> None:
    log = MemoryLog()
    exported.fill(log)
    archive = take([exported.store(log)])
    assert archive is not None
    _publish(log, 7)
    exported.store(log).save(dict.fromkeys(range(exported.SHARDS), b"later"))
    _put(log, archive, force=True)
    stored = exported.store(log).load()
    assert exported.contents(stored) == exported.snapshots()
    assert stored.published.alerts == {"a", "b", "7"}
    assert stored.floors == (exported.FLOOR,)


def test_put_back_again_and_again_it_stays_of_the_same_life() -> None:
    log = MemoryLog()
    _put(log, _SMALL, "one")
    for _ in range(2):
        archive = take([exported.store(log)])
        assert archive is not None
        assert exported.store(log).goes_on(archive.claim or Claim(-1, ""), archive.journal_end)
        _put(log, archive, force=True)
        assert _contents(log) == _SMALL_CONTENTS


def test_after_a_reset_the_journal_says_nothing_of_the_archives_alerts() -> None:
    log = MemoryLog()
    exported.fill(log)
    archive = take([exported.store(log)])
    assert archive is not None
    exported.store(log).reset()
    _publish(log, 9)
    _put(log, archive, force=True)
    assert exported.store(log).load().published == _SINCE.published


def test_after_another_life_was_put_in_the_journal_says_nothing_of_the_first() -> None:
    log = MemoryLog()
    exported.fill(log)
    archive = take([exported.store(log)])
    assert archive is not None
    _put(log, replace(_SMALL, deployment="two"), force=True)
    _publish(log, 9)
    _put(log, archive, force=True)
    assert exported.store(log).load().published == _SINCE.published


def test_another_clusters_journal_says_nothing_either() -> None:
    log = MemoryLog()
    exported.fill(log, owner="elsewhere/2")
    _publish(log, 9)
    _put(log, exported.exported(), force=True)
    stored = exported.store(log).load()
    assert stored.published == _SINCE.published
    assert stored.floors == (exported.FLOOR,)
    floor = Floor(Partition("predictions", 0), 9, 99)
    exported.store(log).journal([floor])
    log.commit()
    assert exported.store(log).load().floors == (exported.FLOOR, floor)
