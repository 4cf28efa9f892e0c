"""`streamdrift state` over a log in memory: what it prints, what it refuses."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from streamdrift.commands import state
from streamdrift.commands.state_output import _cell
from streamdrift.config import Settings
from streamdrift.errors import (
    ConnectionsError,
    FencedError,
    InputError,
    OutputError,
    SettingsError,
    StateError,
)
from streamdrift.exchange.shard import Shard
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.topics import TopicNeed, TopicReport
from streamdrift.monitoring.heads import Home
from streamdrift.readings import rows
from streamdrift.serving.assembly import fingerprint, make_pipeline
from streamdrift.serving.resharding import reshard
from streamdrift.state import Ownership, Published, Saved, Stored, TopicStore, decode, encode
from streamdrift.state.archive import pack
from streamdrift.state.catalog import Listed, list_deployments
from streamdrift.state.log import Entry, MemoryLog
from tests import exported

_FILE = Path(__file__).parent / "fixtures" / "state-export-2.sds"
Document = dict[str, Any]


class _TimedLog(MemoryLog):
    """Says of each record that it is of its offset's second."""

    def read(self, topic: str, start: int, *, partition: int = 0) -> Iterator[Entry]:
        for entry in super().read(topic, start, partition=partition):
            yield entry._replace(time=entry.offset * 1_000_000)


class _Input(io.StringIO):
    def __init__(self, text: str = "", *, terminal: bool) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    """What the commands read and write instead of Kafka."""
    log = MemoryLog(transactional=True)

    @contextmanager
    def open_log(_: Settings) -> Iterator[MemoryLog]:
        yield log

    class Deployment:
        def __init__(self, settings: Settings) -> None:
            self._name = settings.name

        def change_state(self, change: Callable[[TopicStore], None]) -> None:
            Ownership(self._name, "journal", "operator/1").claim(log)
            try:
                change(exported.store(log, self._name))
            except StateError:
                log.crash(keep=False)
                raise
            log.commit()

    monkeypatch.setattr(state, "open_log", open_log)
    monkeypatch.setattr(state, "Deployment", Deployment)
    monkeypatch.setattr(state, "has_committed", lambda *_: False)
    monkeypatch.setattr(state, "inspect_topics", lambda *_: [])  # None is missing.
    return log


def _fill(log: MemoryLog, name: str = "one") -> None:
    log.transactional = False
    exported.fill(log, name)
    log.transactional = True


def _listed(capsys: pytest.CaptureFixture[str]) -> list[Document]:
    state.run_ls(exported.settings(), as_json=True)
    found: list[Document] = json.loads(capsys.readouterr().out)
    return found


def _shown(
    capsys: pytest.CaptureFixture[str], file: Path | None, model: str | None = None
) -> Document:
    state.run_show(exported.settings(), file, model, as_json=True)
    found: Document = json.loads(capsys.readouterr().out)
    return found


def test_deployments_are_listed(log: MemoryLog, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(log, "two")
    _fill(log, "one")
    exported.store(log, "one").reset()
    log.append("state", "three/0/slot/0/0", b"chunk")
    log.append("state", "four/0/manifest/1", b'{"format": 9}')
    log.commit()
    four, three, two = _listed(capsys)
    assert "another version" in four["problem"]
    assert "not whole" in three["problem"]
    size = sum(map(len, exported.snapshots().values()))
    assert two == {
        "deployment": "two",
        "shards": exported.SHARDS,
        "sequence": 1,
        "bytes": size,
        "epoch": 0,
        "owner": "host/1",
        "problem": None,
    }
    state.run_ls(exported.settings(), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    header = ["deployment", "shards", "sequence", "bytes", "epoch", "owner", "problem"]
    assert lines[0].split() == header
    assert lines[-1].split()[:6] == ["two", "3", "1", f"{size:,}", "0", "host/1"]


def test_the_last_manifest_counts_and_its_age_is_shown(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = _TimedLog()
    for snapshots in ({0: b"a", 1: b"a"}, {1: b"bb"}, {1: b"ccc"}):
        store = exported.store(timed, shards=2)
        store.load()
        store.save(snapshots)
    # The manifests have the offsets 2, 3, 5 and 7.
    assert list_deployments(timed, "state") == (Listed("one", 2, 3, 4, 7_000_000, 2_000_000),)

    @contextmanager
    def open_log(_: Settings) -> Iterator[MemoryLog]:
        yield timed

    monkeypatch.setattr(state, "open_log", open_log)
    monkeypatch.setattr("time.time_ns", lambda: 7_207 * 10**9)
    (row,) = _listed(capsys)
    assert (row["saved_at"], row["age_seconds"]) == ("1970-01-01T00:00:07.000000Z", 7_200)
    assert row["oldest_seconds"] == 7_205
    assert (row["epoch"], row["owner"]) == (None, None)
    state.run_ls(exported.settings(), as_json=False)
    header, line = capsys.readouterr().out.splitlines()
    names = ["deployment", "shards", "sequence", "bytes", "age", "oldest", "epoch", "owner"]
    assert header.split() == names
    assert line.split() == ["one", "2", "3", "4", "2", "h", "2", "h", "-", "-"]


def test_what_a_file_holds_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(capsys, _FILE)
    assert (shown["deployment"], shown["sequence"], shown["journal"]) == ("one", 1, 1)
    assert shown["settings"]["source.format"] == "json"
    assert shown["positions"] == [{"topic": "predictions", "partition": 0, "offset": 1_500}]
    fraud, young = shown["versions"]
    assert (fraud["model"], fraud["events"], fraud["complete"]) == ("fraud", 1_350, True)
    pipeline = make_pipeline(exported.settings())
    pipeline.restore({shard: decode(data) for shard, data in exported.snapshots().items()})
    readings = rows(pipeline.monitor.versions()[0].readings())
    assert fraud["signals"] == len({reading.signal for reading in readings})
    changed = {reading.signal.name for reading in readings if reading.changed}
    assert fraud["held"] == sorted(changed) == ["x"]
    assert (young["events"], young["complete"], young["held"]) == (150, False, [])
    (incident,) = shown["incidents"]
    assert (incident["model"], incident["kind"]) == ("fraud", "data_drift")
    assert incident["signals"] == ["x"]
    assert (shown["alerts"], shown["published_since"]) == ({"fraud": 1}, 2)


def test_the_tables_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    state.run_show(exported.settings(), _FILE, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["predictions", "0", "1,500"] in lines
    assert ["fraud", "1"] in lines
    assert any(line[:3] == ["fraud", "3", "1,350"] and line[-1:] == ["x"] for line in lines)
    assert any(line[:3] == ["young", "3", "150"] and "collecting" in line for line in lines)


def test_one_model_is_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(capsys, _FILE, "young")
    assert [version["model"] for version in shown["versions"]] == ["young"]
    assert (shown["incidents"], shown["alerts"]) == ([], {})
    with pytest.raises(StateError, match="no model 'fruad'"):
        _shown(capsys, _FILE, "fruad")


def test_names_from_events_reach_no_terminal_as_commands() -> None:
    assert _cell("a\x1b[31mb\ud800[bold]") == "a\\x1b[31mb\\ud800[bold]"


def test_the_topic_and_its_export_show_the_same(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _fill(log)
    file = tmp_path / "one.sds"
    state.run_export(exported.settings(), file)
    said = capsys.readouterr().out
    assert said == f"{file}: snapshot 1 of one, {file.stat().st_size:,} bytes\n"
    assert _shown(capsys, None) == _shown(capsys, file)


def test_an_export_goes_on_in_another_deployment(
    log: MemoryLog, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _fill(log)
    running = Ownership("two", "journal", "host/2")
    running.claim(log)
    log.commit()
    running.check(log)
    state.run_export(exported.settings(), tmp_path / "one.sds")
    state.run_import(exported.settings("two"), tmp_path / "one.sds", force=False)
    assert "two goes on from snapshot 1 of one" in capsys.readouterr().out
    stored = exported.store(log, "two").load()
    assert exported.contents(stored) == exported.contents(exported.store(log, "one").load())
    assert stored[1:] == exported.store(log, "one").load()[1:]
    with pytest.raises(FencedError):
        running.check(log)
    with pytest.raises(StateError, match="'two' has state already"):
        state.run_import(exported.settings("two"), tmp_path / "one.sds", force=False)
    state.run_import(exported.settings("two"), tmp_path / "one.sds", force=True)
    again = exported.store(log, "two").load()
    assert (exported.contents(again), again[1:]) == (exported.contents(stored), stored[1:])


def test_a_file_that_does_not_fit_the_settings_is_refused(log: MemoryLog) -> None:
    settings = exported.settings()
    source = settings.source.model_copy(update={"mapping": {"features": "/inputs"}})
    changed = settings.model_copy(update={"source": source})
    with pytest.raises(StateError, match=r"source\.mapping: .* -> .*/inputs") as caught:
        state.run_import(changed, _FILE, force=True)
    assert str(_FILE) in str(caught.value)
    assert not log.records


def test_a_file_with_another_number_of_shards_is_refused(log: MemoryLog) -> None:
    changed = exported.settings().model_copy(update={"shards": 7})
    with pytest.raises(StateError, match="shards: 3 -> 7") as caught:
        state.run_import(changed, _FILE, force=True)
    assert "streamdrift state reshard" in str(caught.value.hint)
    assert not log.records


def test_the_state_of_several_workers_is_not_imported(log: MemoryLog, tmp_path: Path) -> None:
    workers = exported.settings().model_copy(update={"mode": "distributed"})
    about = {"settings": fingerprint(exported.settings())}
    snapshots = {
        number: Saved(
            encode(
                {**about, **Shard(Home(number, exported.SHARDS), workers.model, 100).snapshot()}
            ),
            1,
            0,
        )
        for number in range(exported.SHARDS)
    }
    file = tmp_path / "workers.sds"
    file.write_bytes(pack(replace(exported.exported(), snapshots=snapshots)))
    for settings, chosen in ((exported.settings(), file), (workers, _FILE)):
        with pytest.raises(StateError, match="several workers goes on from their exchange"):
            state.run_import(settings, chosen, force=True)
    assert not log.records


def test_a_state_that_lacks_something_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    archive = exported.exported()
    states: dict[int, Any] = exported.decoded(archive.snapshots)
    (version, *_) = (each for one in states.values() for each in one["monitor"]["versions"])
    del version["watching"]
    snapshots = {
        number: archive.snapshots[number]._replace(snapshot=encode(one))
        for number, one in states.items()
    }
    file = tmp_path / "lacking.sds"
    file.write_bytes(pack(replace(archive, snapshots=snapshots)))
    settings = exported.settings()
    commands: list[Callable[[], None]] = [
        lambda: state.run_import(settings, file, force=True),
        lambda: state.run_show(settings, file, as_json=True),
    ]
    for command in commands:
        with pytest.raises(StateError, match="has no 'watching'") as caught:
            command()
        assert "version that wrote it" in str(caught.value.hint)
    assert not log.records


def test_files_that_cannot_be_used_are_refused(log: MemoryLog, tmp_path: Path) -> None:
    archive = exported.exported()
    newer = bytearray(archive.snapshots[1].snapshot)
    newer[4] = 9
    snapshots = {**archive.snapshots, 1: archive.snapshots[1]._replace(snapshot=bytes(newer))}
    inside = tmp_path / "newer.sds"
    inside.write_bytes(pack(replace(archive, snapshots=snapshots)))
    cut = tmp_path / "cut.sds"
    cut.write_bytes(_FILE.read_bytes()[:-1])
    for file, said in (
        (tmp_path / "none.sds", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (cut, "is cut off"),
        (inside, "has format 9"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            state.run_import(exported.settings(), file, force=True)
        assert str(file) in str(caught.value)
        assert "--reset-state" not in str(caught.value.hint)
        with pytest.raises(InputError, match=said):
            state.run_show(exported.settings(), file, as_json=True)
    assert not log.records


def test_no_state_is_said(log: MemoryLog, tmp_path: Path) -> None:
    file, settings = tmp_path / "one.sds", exported.settings()
    commands: list[Callable[[], None]] = [
        lambda: state.run_show(settings, None, as_json=True),
        lambda: state.run_export(settings, file),
        lambda: state.run_reset(settings, yes=True),
    ]
    for command in commands:
        with pytest.raises(StateError, match="no state of the deployment 'one'") as caught:
            command()
        assert "streamdrift state ls" in str(caught.value.hint)
    with pytest.raises(StateError, match="holds no state"):
        state.run_ls(settings, as_json=False)
    assert not file.exists()
    assert not log.records


def test_damaged_state_is_not_exported_and_what_was_there_stays(
    log: MemoryLog, tmp_path: Path
) -> None:
    _fill(log)
    log.append("state", "one/1/slot/0/0", b"rubbish")
    log.commit()
    file = tmp_path / "one.sds"
    file.write_bytes(b"older")
    with pytest.raises(
        StateError, match="no whole snapshot is left in the topic state of shard 1 of 3"
    ):
        state.run_export(exported.settings(), file)
    assert file.read_bytes() == b"older"


def test_an_export_that_cannot_be_written_says_so(log: MemoryLog, tmp_path: Path) -> None:
    _fill(log)
    with pytest.raises(OutputError, match="nowhere"):
        state.run_export(exported.settings(), tmp_path / "nowhere" / "one.sds")


def test_reset_asks_first(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(log)
    monkeypatch.setattr(sys, "stdin", _Input(terminal=False))
    with pytest.raises(SettingsError, match="forget the state of one") as caught:
        state.run_reset(exported.settings(), yes=False)
    assert "--yes" in str(caught.value.hint)
    monkeypatch.setattr(sys, "stdin", _Input("n\n", terminal=True))
    with pytest.raises(typer.Abort):
        state.run_reset(exported.settings(), yes=False)
    assert exported.store(log).load().snapshots
    monkeypatch.setattr(sys, "stdin", _Input("y\n", terminal=True))
    state.run_reset(exported.settings(), yes=False)
    assert exported.store(log).load() == Stored({}, (), Published(), reset=True)


def test_damaged_and_only_journaled_state_is_reset(log: MemoryLog) -> None:
    log.append("state", "one/manifest/0", b"rubbish")
    log.commit()
    state.run_reset(exported.settings(), yes=True)
    exported.store(log).journal([exported.FLOOR])
    log.commit()
    state.run_reset(exported.settings(), yes=True)
    assert exported.store(log).load() == Stored({}, (), Published(), reset=True)


def test_what_is_left_of_a_state_that_is_gone_is_reset(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a word of the journal alone, or the offsets of the group."""
    exported.store(log).save(dict.fromkeys(range(exported.SHARDS), b"snapshot"))
    log.commit()
    log._partitions.pop(("state", 0))
    settings = exported.settings()
    state.run_reset(settings, yes=True)
    log._partitions.clear()
    monkeypatch.setattr(state, "has_committed", lambda *_: True)
    state.run_reset(settings, yes=True)
    with pytest.raises(StateError, match="no state of the deployment"):
        state.run_reset(settings, yes=True)


def test_the_state_is_divided_into_other_shards(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(log)
    running = Ownership("one", "journal", "host/2")
    running.claim(log)
    log.commit()
    running.check(log)
    before = _shown(capsys, None)
    state.run_reshard(exported.settings(), 5)
    assert "has 5 shards, and had 3: set shards: 5" in capsys.readouterr().out
    with pytest.raises(FencedError):
        running.check(log)
    with pytest.raises(StateError, match="has 5 shards, by the settings it is 3"):
        exported.store(log).load()
    stored = exported.store(log, shards=5).load()
    assert stored.published.alerts == {"a", "b"}
    assert stored.floors == (exported.FLOOR,)
    after = _shown(capsys, None)
    changed = {"shards", "sequence", "bytes"}
    assert {key for key in before if before[key] != after[key]} <= changed
    assert after["shards"] == 5
    # Nothing is left of the shards there were.
    last = dict(log.records["state"])
    assert sum(value is not None for value in last.values()) == 10
    with pytest.raises(StateError, match="has 5 shards already"):
        state.run_reshard(exported.settings(), 5)


def test_state_that_is_written_meanwhile_is_not_divided(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(log)

    def interrupted(*given: Any) -> Any:
        store = exported.store(log)
        store.load()
        store.save({0: exported.snapshots()[0]})
        log.commit()
        return reshard(*given)

    monkeypatch.setattr(state, "reshard", interrupted)
    with pytest.raises(StateError, match="was written meanwhile: nothing is changed"):
        state.run_reshard(exported.settings(), 5)
    assert len(exported.store(log).load().snapshots) == 3


def _reports(monkeypatch: pytest.MonkeyPatch, **report: Any) -> list[TopicNeed]:
    asked: list[TopicNeed] = []

    def inspect(_: KafkaSettings, needs: list[TopicNeed]) -> list[TopicReport]:
        asked.extend(needs)
        return [TopicReport(need, **report) for need in needs]

    monkeypatch.setattr(state, "inspect_topics", inspect)
    return asked


def test_a_missing_topic_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _reports(monkeypatch, exists=False, problem="...")
    with pytest.raises(StateError, match=r"no topic state \(state\) at localhost:9092"):
        state.run_ls(exported.settings(), as_json=True)


def test_a_topic_that_may_not_be_read_is_named_with_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _reports(monkeypatch, exists=True, problem="no right", command="kafka-acls.sh")
    with pytest.raises(ConnectionsError, match="no right") as caught:
        state.run_ls(exported.settings(), as_json=True)
    assert caught.value.hint == "kafka-acls.sh"
    # To look at it, the topic need not be as it should be.
    assert all(need.rights == ("READ",) and not need.configs for need in asked)


def test_state_of_the_other_mode_is_named(log: MemoryLog) -> None:
    _fill(log)
    workers = exported.settings().model_copy(update={"mode": "distributed"})
    with pytest.raises(StateError, match=r"has 1 partitions, and .* shards") as caught:
        state.run_show(workers, None, as_json=True)
    assert "mode: standalone" in str(caught.value.hint)
    log.append(workers.state.topic, "one/7/slot/0/0", b"chunk", partition=7)
    log.commit()
    with pytest.raises(StateError, match="8 partitions, as several workers") as caught:
        state.run_reset(exported.settings(), yes=True)
    assert "mode: distributed and shards: 8" in str(caught.value.hint)
