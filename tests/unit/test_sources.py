"""Source settings, which topics they mean, and the source that tests use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace

import pytest
from kafka.errors import NoError
from kafka.net import transport
from pydantic import ValidationError

from streamdrift.config import Settings
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.records import Partition
from streamdrift.serving import deployment
from streamdrift.sources import Source, SourceSettings, discovery, kafka
from streamdrift.sources.discovery import Discovery
from streamdrift.sources.fetching import enlarge_socket_reads
from streamdrift.sources.memory import MemorySource
from streamdrift.sources.packing import Record, pack

FIRST, SECOND = Partition("a", 0), Partition("a", 1)


def test_topics_by_name_or_pattern() -> None:
    settings = SourceSettings.model_validate(
        {
            "predictions": [
                {"pattern": r"events\..*", "format": "json"},
                "events.special",
            ]
        }
    )
    special = settings.settings_of("events.special")
    assert special is not None
    assert special.name == "events.special"
    other = settings.settings_of("events.other")
    assert other is not None
    assert other.pattern is not None
    assert settings.settings_of("other.events.x") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"predictions": []},
        {"predictions": [{}]},
        {"predictions": [{"name": "a", "pattern": "b"}]},
        {"predictions": [{"pattern": "("}]},
        {"predictions": ["a", {"name": "a", "format": "json"}]},
        {"predictions": [{"pattern": "a"}, {"pattern": "a"}]},
        {"start": "yesterday"},
        {"start": "2026-01-01T00:00:00"},
    ],
)
def test_mistakes_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SourceSettings.model_validate(settings)


class _Admin:
    """Knows topics of one partition each, and describes them as a broker does."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def describe_topics(self, wanted: Sequence[str] | None) -> Iterator[dict[str, object]]:
        for name in self._names if wanted is None else wanted:
            yield {
                "name": name,
                "error_code": NoError.errno,
                "is_internal": name == "__consumer_offsets",
                "partitions": [{"partition_index": 0}],
            }

    def close(self) -> None:
        pass


def test_a_pattern_matches_no_topic_of_the_deployments_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate(
        {"name": "a", "source": {"predictions": [{"pattern": ".*"}]}, "alerts": {"topic": "told"}}
    )
    own = settings.own_topics().values()
    assert set(own) == {
        *("told", "a.incidents", "a.dead-letters", "a.state", "a.journal", "a.exchange"),
        "a.commands",
    }
    names = ["events", "b.dead-letters", *own, "__consumer_offsets", "__transaction_state", "_x"]
    monkeypatch.setattr(discovery, "make_admin", lambda _: _Admin(names))
    found = Discovery(KafkaSettings(), settings.source.predictions, 60, own)
    found.close()
    assert {partition.topic for partition in found.last.partitions} == {
        "events",
        "b.dead-letters",
        "_x",
    }


def test_the_service_tells_its_source_which_topics_are_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[object] = []
    monkeypatch.setattr(deployment, "KafkaSource", lambda *_, own: given.extend(own))
    settings = Settings.model_validate({"name": "a"})
    deployment.Deployment(settings)._open_source({}, {})
    assert given == [
        *("a.dead-letters", "a.alerts", "a.incidents", "a.state", "a.journal", "a.exchange"),
        "a.commands",
    ]


class _Reader(SimpleNamespace):
    """Knows logs that begin at 3 and end at 1,000."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(positions={}, consumer=SimpleNamespace(assign=lambda _: None))

    def earliest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 3)

    def latest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 1_000)

    def seek(self, starts: Mapping[Partition, int]) -> None:
        self.positions |= starts

    def close(self) -> None: ...


def test_a_source_tells_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that grew since is the only one that is not stored, of a topic that is."""
    monkeypatch.setattr(discovery, "make_admin", lambda _: _Admin(["t", "u"]))
    monkeypatch.setattr(kafka, "Reader", _Reader)
    settings = SourceSettings.model_validate({"predictions": ["t", "u"], "start": "latest"})
    stored: Mapping[Partition, int] = {}
    for _ in range(2):
        source = kafka.KafkaSource(KafkaSettings(), settings, stored)
        source.close()
        stored = source.begun()
        assert stored == {Partition("t", 0): 1_000, Partition("u", 0): 1_000}
        monkeypatch.setattr(_Reader, "latest", lambda _, these: dict.fromkeys(these, 2_000))


def test_memory_source_keeps_the_protocol() -> None:
    groups = [
        pack(partition, [Record(i, i, b"%d" % i) for i in range(4)], 4)
        for partition in (FIRST, SECOND)
    ]
    source: Source = MemorySource(groups, positions={FIRST: 2})
    source.pause([SECOND])
    (group,) = source.poll(0)
    assert (group.partition, list(group.offset)) == (FIRST, [2, 3])
    assert source.poll(0) == []
    assert source.at_end() == {FIRST}
    assert source.lag() == {FIRST: 0, SECOND: 4}
    source.resume([SECOND])
    assert [group.partition for group in source.poll(0)] == [SECOND]
    assert source.partitions() == (FIRST, SECOND)
    assert source.begun() == {FIRST: 2, SECOND: 0}
    assert source.notices() == ()


def test_socket_reads_are_enlarged_once_and_for_all() -> None:
    assert enlarge_socket_reads()
    assert enlarge_socket_reads()
    constants = transport.KafkaTCPTransport._sock_recv.__code__.co_consts
    assert 1 << 20 in constants
    assert 4096 not in constants
