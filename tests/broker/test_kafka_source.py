"""The Kafka source on real brokers: the fast path must hand over what the public one does."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.consumer.fetcher import Fetcher

from streamdrift.errors import ConnectionsError
from streamdrift.headers import decode_headers
from streamdrift.kafka.clients import KafkaSettings, make_admin, make_producer
from streamdrift.logs import set_up_logs
from streamdrift.records import Messages, Partition
from streamdrift.sources import SourceSettings, blocked, fetching
from streamdrift.sources.kafka import KafkaSource
from tests.real_kafka import PASSWORD, USER, RealKafka
from tests.topic_maker import TopicMaker

Content = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
Opener = Callable[..., KafkaSource]


def contents(messages: Messages) -> list[Content]:
    def cut(start: int, length: int) -> bytes | None:
        return None if length < 0 else messages.data[start : start + length].tobytes()

    return [
        (
            int(messages.offset[i]),
            int(messages.time[i]),
            messages.value(i),
            cut(messages.key_start[i], messages.key_length[i]),
            decode_headers(cut(messages.header_start[i], messages.header_length[i]) or b""),
        )
        for i in range(len(messages))
    ]


def read(
    source: KafkaSource, count: int, seconds: float = 20.0
) -> dict[Partition, tuple[list[Content], int]]:
    """Return what `count` messages hold, and each partition's next offset at its end."""
    found: dict[Partition, list[Content]] = {}
    following: dict[Partition, int] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for messages in source.poll(0.2):
            found.setdefault(messages.partition, []).extend(contents(messages))
            following[messages.partition] = messages.next_offset
        seen = sum(len(group) for group in found.values())
        if seen >= count and source.at_end() >= frozenset(source.partitions()):
            break
    assert sum(len(group) for group in found.values()) == count
    return {partition: (found[partition], following[partition]) for partition in found}


def reading(topic: str, **options: object) -> SourceSettings:
    return SourceSettings.model_validate({"predictions": [topic], **options})


@pytest.fixture
def open_source() -> Iterator[Opener]:
    opened: list[KafkaSource] = []

    def open_it(*arguments: object, **options: object) -> KafkaSource:
        source = KafkaSource(*arguments, **options)  # type: ignore[arg-type]
        opened.append(source)
        return source

    yield open_it
    for source in opened:
        source.close()


def produce(connection: KafkaSettings, topic: str, values: list[bytes], **options: object) -> None:
    producer = make_producer(connection, **options)
    for value in values:
        producer.send(topic, value=value)
    producer.flush()
    producer.close()


def send_odd(producer: KafkaProducer, topic: str, count: int, partitions: int) -> None:
    for i in range(count):
        value = None if i % 7 == 3 else bytes([65 + i % 26]) * (i % 300)
        key = b"key%d" % i if i % 2 or value is None else None
        headers = [("model", b"fraud"), ("\u00e4", b"")] if i % 5 == 0 else None
        producer.send(
            topic,
            value=value,
            key=key,
            headers=headers,
            partition=i % partitions,
            timestamp_ms=1_700_000_000_000 + i,
        )


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_fast_equals_public(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    codec: str | None,
) -> None:
    make_topic(connection, name, partitions=3)
    producer = make_producer(connection, compression_type=codec, linger_ms=20, batch_size=1 << 17)
    send_odd(producer, name, 3_000, 3)
    producer.flush()
    producer.close()
    fast = read(open_source(connection, reading(name)), 3_000)
    public = read(open_source(connection, reading(name), fast=False), 3_000)
    assert fast == public
    assert set(fast) == {Partition(name, number) for number in range(3)}


def test_fast_path_is_in_use(kafka_connection: KafkaSettings, open_source: Opener) -> None:
    source = open_source(kafka_connection, reading("absent"))
    assert [notice.event for notice in source.notices()] == ["topic missing"]


def test_a_poll_asks_for_what_comes_next(
    connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(connection, name)
    produce(connection, name, [bytes([97 + i]) * 100_000 for i in range(5)])
    source: Any = open_source(connection, reading(name, partition_fetch_max_bytes=150_000))
    fetcher = source._reader.consumer._fetcher
    read_so_far = 0
    while read_so_far < 5:
        groups = source.poll(1.0)
        read_so_far += sum(len(group) for group in groups)
        assert not groups or fetcher.in_flight_fetches() or fetcher._completed_fetches


def test_a_client_of_another_make_is_read_publicly(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "_PARTITION_RECORDS_PARAMETERS", ("unknown",))
    monkeypatch.setattr(fetching, "_FETCH_RESPONSE_PARAMETERS", ("unknown",))
    monkeypatch.setattr(Fetcher, "in_flight_fetches", lambda self, node: pytest.fail("called"))
    make_topic(connection, name)
    produce(connection, name, [b"a", b"b"])
    source = open_source(connection, reading(name))
    assert [notice.event for notice in source.notices()] == ["fast fetch unavailable"]
    assert len(read(source, 2)[Partition(name, 0)][0]) == 2


def test_aborted_transactions_are_skipped(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name)
    producer = make_producer(kafka_connection, transactional_id=name)
    producer.init_transactions()
    for round_ in range(6):
        producer.begin_transaction()
        for i in range(50):
            producer.send(name, value=b"%d-%d" % (round_, i))
        producer.flush()
        if round_ % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    partition = Partition(name, 0)
    fast = read(open_source(kafka_connection, reading(name)), 150)
    public = read(open_source(kafka_connection, reading(name), fast=False), 150)
    assert fast == public
    values = [content[2] for content in fast[partition][0]]
    assert values == [b"%d-%d" % (round_, i) for round_ in (0, 2, 4) for i in range(50)]
    assert fast[partition][1] == 306  # the markers count


def test_open_transaction_is_said_and_waited_for(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocked, "PATIENCE", 1.0)
    make_topic(kafka_connection, name)
    left = make_producer(kafka_connection, transactional_id=name)
    left.init_transactions()
    left.begin_transaction()
    left.send(name, value=b"open", partition=0)
    left.flush()
    produce(kafka_connection, name, [b"behind it"])
    source, partition = open_source(kafka_connection, reading(name)), Partition(name, 0)
    deadline = time.monotonic() + 20
    while source.blocked() != {partition}:
        assert source.poll(0.2) == []
        assert time.monotonic() < deadline
    assert [(each.event, each.fields["offset"]) for each in source.notices()] == [
        ("open transaction", 0)
    ]
    assert source.at_end() == frozenset()
    left.commit_transaction()
    left.close()
    (found, _) = read(source, 2)[partition]
    assert [content[2] for content in found] == [b"open", b"behind it"]
    assert source.blocked() == frozenset()
    assert source.notices() == ()


def test_log_append_time(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name, configs={"message.timestamp.type": "LogAppendTime"})
    before = time.time() * 1e6 - 1_000
    produce(kafka_connection, name, [b"a", b"b"])
    fast = read(open_source(kafka_connection, reading(name)), 2)
    public = read(open_source(kafka_connection, reading(name), fast=False), 2)
    assert fast == public
    assert fast[Partition(name, 0)][0][0][1] >= before


def test_big_messages(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name, configs={"max.message.bytes": str(20 << 20)})
    values = [b"small", b"x" * (10 << 20), b"small again"]
    produce(kafka_connection, name, values, max_request_size=12 << 20)
    for fast in (True, False):
        found = read(open_source(kafka_connection, reading(name), fast=fast), 3)
        assert [content[2] for content in found[Partition(name, 0)][0]] == values


def test_starts_in_the_middle_of_a_batch(
    connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(connection, name)
    produce(connection, name, [b"%d" % i for i in range(100)], linger_ms=200, batch_size=1 << 16)
    for fast in (True, False):
        source = open_source(connection, reading(name), {Partition(name, 0): 37}, fast=fast)
        found = read(source, 63)[Partition(name, 0)]
        assert [content[0] for content in found[0]] == list(range(37, 100))


def test_start_positions(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name, partitions=2)
    producer = make_producer(kafka_connection)
    for i in range(100):
        producer.send(name, value=b"x", partition=0, timestamp_ms=1_700_000_000_000 + i * 1_000)
    producer.flush()
    source = open_source(kafka_connection, reading(name, start="2023-11-14T22:14:10Z"))
    assert len(read(source, 50)[Partition(name, 0)][0]) == 50
    source = open_source(kafka_connection, reading(name, start="latest"))
    assert source.poll(0.5) == []
    producer.send(name, value=b"new", partition=1)
    producer.flush()
    producer.close()
    assert read(source, 1)[Partition(name, 1)][0][0][2] == b"new"


def test_new_partitions_and_topics_are_read_from_their_beginning(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    settings = SourceSettings.model_validate(
        {
            "predictions": [{"pattern": f"{name}.*"}],
            "start": "latest",
            "discovery_interval": "200ms",
        }
    )
    make_topic(kafka_connection, name)
    source = open_source(kafka_connection, settings)
    assert source.partitions() == [Partition(name, 0)]
    admin = make_admin(kafka_connection)
    admin.create_partitions({name: 2})
    admin.close()
    make_topic(kafka_connection, f"{name}-too")
    producer = make_producer(kafka_connection)
    producer.send(name, value=b"a", partition=1)
    producer.send(f"{name}-too", value=b"b")
    producer.flush()
    producer.close()
    deadline = time.monotonic() + 15
    while len(source.partitions()) < 3 and time.monotonic() < deadline:
        source.poll(0.0)
        time.sleep(0.05)
    found = read(source, 2)
    assert {key: group[0][2] for key, (group, _) in found.items()} == {
        Partition(name, 1): b"a",
        Partition(f"{name}-too", 0): b"b",
    }
    assert {notice.event for notice in source.notices()} == {"partition found"}


@pytest.mark.parametrize("fast", [True, False])
def test_pause_and_resume(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    fast: bool,
) -> None:
    make_topic(connection, name, partitions=2)
    source = open_source(connection, reading(name), fast=fast)
    first, second = Partition(name, 0), Partition(name, 1)
    source.pause([first])
    producer = make_producer(connection)
    for i in range(20):
        producer.send(name, value=b"%d" % i, partition=i % 2)
    producer.flush()
    producer.close()
    found: list[Messages] = []
    for _ in range(10):
        found += source.poll(0.1)
    assert {messages.partition for messages in found} == {second}
    assert first not in source.at_end()
    source.resume([first])
    assert len(read(source, 10)[first][0]) == 10
    assert source.lag() == {first: 0, second: 0}


def test_offsets_out_of_range_are_said(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [b"%d" % i for i in range(20)])
    admin = make_admin(kafka_connection)
    admin.delete_records({Partition(name, 0): 10})
    admin.close()
    source = open_source(kafka_connection, reading(name), {Partition(name, 0): 3})
    assert len(read(source, 10)[Partition(name, 0)][0]) == 10
    (lost,) = source.notices()
    assert lost.event == "offsets lost"
    assert (lost.fields["from_offset"], lost.fields["to_offset"]) == (3, 10)
    source = open_source(kafka_connection, reading(name), {Partition(name, 0): 90})
    for _ in range(5):
        source.poll(0.2)
    (truncated,) = source.notices()
    assert (truncated.event, truncated.fields["to_offset"]) == ("log truncated", 20)


@pytest.mark.parametrize("fast", [True, False])
def test_a_broker_that_goes_away_is_waited_for(
    real_kafka: RealKafka,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    fast: bool,
) -> None:
    connection = KafkaSettings(bootstrap_servers=real_kafka.bootstrap)
    make_topic(connection, name)
    produce(connection, name, [b"before"])
    source = open_source(connection, reading(name), fast=fast)
    assert len(read(source, 1)) == 1
    real_kafka.stop(kill=True)
    deadline = time.monotonic() + 20
    while source.connected and time.monotonic() < deadline:
        assert source.poll(0.2) == []
    assert not source.connected
    assert source.at_end() == frozenset()
    real_kafka.start()
    produce(connection, name, [b"after"])
    assert read(source, 1, seconds=30)[Partition(name, 0)][0][0][2] == b"after"
    assert source.connected
    assert [notice.event for notice in source.notices()] == ["broker away", "broker back"]


def test_a_topic_made_anew_is_read_from_its_beginning(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [b"old"] * 9)
    source = open_source(kafka_connection, reading(name, discovery_interval="200ms"))
    assert len(read(source, 9)) == 1
    admin = make_admin(kafka_connection)
    admin.delete_topics([name])
    notices: list[str] = []
    deadline = time.monotonic() + 20
    while "topic missing" not in notices and time.monotonic() < deadline:
        assert source.poll(0.2) == []
        notices += [notice.event for notice in source.notices()]
    assert source.partitions() == []
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [b"new"] * 3)
    admin.close()
    contents_of, following = read(source, 3)[Partition(name, 0)]
    assert [content[:1] + content[2:3] for content in contents_of] == [
        (i, b"new") for i in range(3)
    ]
    assert following == 3
    notices += [notice.event for notice in source.notices()]
    assert notices == ["topic missing", "partition found"]


@pytest.mark.parametrize("size", [3, 30])
def test_a_topic_made_anew_between_two_look_ups(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    size: int,
) -> None:
    """Also where it is beyond the offset that is read next by the time it is noticed."""
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [b"old"] * 9)
    source = open_source(kafka_connection, reading(name, discovery_interval="60s"))
    assert len(read(source, 9)) == 1
    admin = make_admin(kafka_connection)
    admin.delete_topics([name])
    while name in admin.list_topics():
        time.sleep(0.1)
    admin.close()
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [b"new"] * size)
    contents_of, _ = read(source, size)[Partition(name, 0)]
    assert [content[0] for content in contents_of] == list(range(size))
    assert [notice.event for notice in source.notices()] == ["topic made anew", "partition found"]


def test_a_damaged_batch_is_left_out_and_said(
    real_kafka: RealKafka, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    connection = KafkaSettings(bootstrap_servers=real_kafka.bootstrap)
    make_topic(connection, name)
    for value in (b"first", b"to be damaged", b"third"):
        produce(connection, name, [value])
    real_kafka.stop()
    real_kafka.damage(name, b"to be damaged")
    real_kafka.start()
    source = open_source(connection, reading(name))
    found = read(source, 2)[Partition(name, 0)]
    assert [content[2] for content in found[0]] == [b"first", b"third"]
    (skipped,) = source.notices()
    assert skipped.event == "damaged batch skipped"
    assert (skipped.fields["from_offset"], skipped.fields["to_offset"]) == (1, 2)


def logging_in(kafka: RealKafka, password: str = PASSWORD) -> KafkaSettings:
    return KafkaSettings.model_validate(
        {
            "bootstrap_servers": kafka.sasl_bootstrap,
            "bootstrap_timeout": "5m",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": USER,
            "sasl_plain_password": password,
        }
    )


def test_sasl(
    real_kafka: RealKafka, name: str, make_topic: TopicMaker, open_source: Opener
) -> None:
    connection = logging_in(real_kafka)
    make_topic(connection, name)
    produce(connection, name, [b"a"])
    assert len(read(open_source(connection, reading(name)), 1)) == 1
    wrong = logging_in(real_kafka, "wrong")
    with pytest.raises(ConnectionsError, match="SaslAuthenticationFailedError: ") as caught:
        open_source(wrong, reading(name))
    assert caught.value.hint == "check kafka.sasl_plain_username and its password"


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log = io.StringIO()
    set_up_logs("debug", log)
    yield log
    root.handlers[:], root.level = handlers, level


def test_the_log_has_no_password_also_where_it_has_most(
    real_kafka: RealKafka,
    name: str,
    make_topic: TopicMaker,
    open_source: Opener,
    debug_log: io.StringIO,
) -> None:
    """The client dumps its configuration, and every request, at the level of debugging."""
    connection = logging_in(real_kafka)
    make_topic(connection, name)
    produce(connection, name, [b"a"])
    read(open_source(connection, reading(name)), 1)
    assert "Connected" in debug_log.getvalue(), "nothing of the client's is in it"
    assert PASSWORD not in debug_log.getvalue()


def test_nobody_there() -> None:
    connection = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout="300ms")
    with pytest.raises(ConnectionsError, match=r"127\.0\.0\.1:1") as caught:
        KafkaSource(connection, SourceSettings())
    assert caught.value.hint is not None
