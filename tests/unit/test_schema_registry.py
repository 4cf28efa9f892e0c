"""The registry's client: what it remembers, what it retries, and what it says of failures."""

import base64
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from streamdrift.config import load_settings
from streamdrift.decoders import make_decoder
from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.schema_registry import SchemaRegistry, SchemaRegistrySettings
from tests.formats import AVRO_SCHEMA, FEATURES_SCHEMA, PLAIN, shown
from tests.http_receiver import answering
from tests.messages import messages
from tests.real_kafka import free_ports
from tests.registry import Registry, schema_registry

_FLAT = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        {"name": "model", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "features", "type": {"type": "map", "values": "double"}},
        {
            "name": "prediction",
            "type": {
                "type": "record",
                "name": "Output",
                "fields": [
                    {"name": "label", "type": "string"},
                    {"name": "score", "type": "double"},
                ],
            },
        },
    ],
}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with schema_registry() as served:
        yield served


def client(
    registry: Registry,
    waits: list[float] | None = None,
    now: list[float] | None = None,
    **options: object,
) -> SchemaRegistry:
    settings = SchemaRegistrySettings.model_validate({"url": registry.url, **options})
    clock = [0.0] if now is None else now
    return SchemaRegistry(settings, ([] if waits is None else waits).append, lambda: clock[0])


def test_a_schema_is_asked_for_once(registry: Registry) -> None:
    number = registry.register("predictions-value", {"schema": json.dumps(_FLAT)})
    asking = client(registry)
    first = asking.schema(number)
    assert first is not None
    assert (first.kind, json.loads(first.text)) == ("AVRO", _FLAT)
    assert asking.schema(number) is first
    assert registry.asked == [f"/schemas/ids/{number}"]
    assert asking.schema(registry.guid(number)) == first


def test_what_a_schema_refers_to_comes_with_it(registry: Registry) -> None:
    registry.register("features/1", {"schema": json.dumps(FEATURES_SCHEMA)})
    refers = [{"name": "Features", "subject": "features/1", "version": 1}]
    whole = {"schema": json.dumps(AVRO_SCHEMA), "schemaType": "AVRO", "references": refers}
    found = client(registry).schema(registry.register("predictions-value", whole))
    assert found is not None
    assert {name: json.loads(text) for name, text in found.references.items()} == {
        "Features": FEATURES_SCHEMA
    }


def test_an_unknown_id_is_not_asked_for_again_at_once(registry: Registry) -> None:
    now = [100.0]
    asking = client(registry, now=now)
    assert asking.schema(9) is None
    assert asking.schema(9) is None
    assert registry.asked == ["/schemas/ids/9"]
    registry.register("a", {"schema": "1"})
    for _ in range(8):
        registry.register("a", {"schema": str(len(registry.asked)), "schemaType": str(_)})
    now[0] += 61
    assert asking.schema(9) is not None


def test_many_unknown_ids_are_not_asked_for_one_by_one(registry: Registry) -> None:
    """Each question holds up the stream: who writes random ids may not slow it for ever."""
    known, later = (registry.register("a", {"schema": str(each)}) for each in (1, 2))
    now = [100.0]
    asking = client(registry, now=now)
    assert asking.schema(known) is not None
    frames = [struct.pack(">bI", 0, number) + b"x" for number in range(1_000, 2_000)]
    decoded = make_decoder("avro", {}, asking.schema).decode(messages(frames))
    assert {letter.reason for letter in decoded.dead_letters} == {"unknown_schema"}
    assert len(decoded.dead_letters) == 1_000
    assert len(registry.asked) == 31
    assert asking.schema(known) is not None
    assert asking.schema(later) is None
    now[0] += 61
    assert asking.schema(later) is not None
    assert len(registry.asked) == 32


def test_a_password_goes_nowhere_else(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to where the registry redirects, nor to a proxy of the environment."""
    number = registry.register("a", {"schema": "{}"})
    with schema_registry() as other:
        other.register("a", {"schema": "{}"})
        monkeypatch.setenv("http_proxy", other.url)
        asking = client(registry, username="me", password="a secret")
        registry.elsewhere = f"{other.url}/schemas/ids/{number}"
        with pytest.raises(ConnectionsError, match="status 302") as caught:
            asking.schema(number)
        assert "redirects are not followed" in str(caught.value.hint)
        registry.elsewhere = None
        assert asking.schema(number) is not None
        assert other.asked == []
    assert registry.headers[-1]["Authorization"].startswith("Basic ")


def test_an_answer_that_does_not_end_is_not_read_to_its_end(registry: Registry) -> None:
    number = registry.register("a", {"schema": "x" * (17 << 20)})
    with pytest.raises(ConnectionsError, match="longer than 16,777,216 bytes"):
        client(registry).schema(number)


def test_a_registry_that_answers_byte_by_byte_holds_up_nothing_for_long(
    registry: Registry,
) -> None:
    start = time.monotonic()
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300, pause=0.05) as registry.url:
        with pytest.raises(ConnectionsError, match=r"no whole answer within 0\.3 s"):
            client(registry, timeout="300ms").schema(1)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_in_trouble_is_a_lost_connection(registry: Registry, status: int) -> None:
    number = registry.register("a", {"schema": "{}"})
    waits: list[float] = []
    asking = client(registry, waits)
    registry.status = status
    with pytest.raises(ConnectionsError, match=f"status {status}") as caught:
        asking.schema(number)
    assert "source.schema_registry.url" in str(caught.value.hint)
    assert waits == [0.2, 0.4]
    registry.status = None
    assert asking.schema(number) is not None


def test_a_registry_that_is_away_or_silent_is_a_lost_connection(registry: Registry) -> None:
    (port,) = free_ports(1)
    registry.url = f"http://127.0.0.1:{port}"
    with pytest.raises(ConnectionsError, match="connection attempts failed"):
        client(registry).schema(1)
    with socket.create_server(("127.0.0.1", port)):
        start = time.monotonic()
        with pytest.raises(ConnectionsError, match=r"no whole answer within 0\.1 s"):
            client(registry, timeout="100ms").schema(1)
        assert time.monotonic() - start < 5


def test_a_registry_asks_who_it_is(registry: Registry, tmp_path: Path) -> None:
    number = registry.register("a", {"schema": "{}"})
    registry.authorization = "Basic " + base64.b64encode(b"me:a secret").decode()
    with pytest.raises(ConnectionsError, match="status 401") as caught:
        client(registry).schema(number)
    assert "source.schema_registry.username" in str(caught.value.hint)
    file = tmp_path / "password"
    file.write_text("a secret\n")
    assert client(registry, username="me", password_file=file).schema(number) is not None
    assert client(registry, username="me", password="a secret").schema(number) is not None


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["source.schema_registry.url=registry:8081"], "must be an address such as"),
        (["source.schema_registry.url=http://registry:port"], "address|[Pp]ort"),
        (["source.schema_registry.url=http://a\x01b"], "must be an address such as"),
        (["source.schema_registry.url=http://me:pw@registry"], "must hold no user"),
        (["source.format=avro"], "avro needs source.schema_registry.url"),
        (['source.predictions=[{"name": "a", "format": "avro"}]'], "avro needs"),
    ],
)
def test_wrong_settings_are_named(assignments: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(None, assignments, {})


def test_its_password_is_not_shown() -> None:
    variables = {"STREAMDRIFT_SOURCE__SCHEMA_REGISTRY__PASSWORD": "a secret"}
    assert "a secret" not in load_settings(None, [], variables).text()


def test_certificates_that_cannot_be_used_are_named(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(SettingsError, match="cafile"):
        client(registry, cafile=file)


def test_avro_without_a_registry_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match="needs a schema registry"):
        make_decoder("avro", {})


def test_what_confluents_own_serialiser_writes_is_read(registry: Registry) -> None:
    """The serialiser registers its schema, and says which it is before each record."""
    own = SchemaRegistryClient({"url": registry.url})
    serialise = AvroSerializer(own, json.dumps(_FLAT))
    context = SerializationContext("predictions", MessageField.VALUE)
    output = {"label": "ok", "score": 0.07}
    record = {"model": "fraud", "version": "3", "features": {"amount": 12.5}, "prediction": output}
    value = serialise(record, context)
    assert isinstance(value, bytes)
    decoded = make_decoder("avro", {}, client(registry).schema).decode(messages([value]))
    (event,) = shown(decoded).values()
    assert {name: event[name] for name in PLAIN} == PLAIN


def test_a_registry_that_is_away_makes_no_dead_letters(registry: Registry) -> None:
    value = b"\x00\x00\x00\x00\x01" + b"x"
    decoder = make_decoder("avro", {}, client(registry).schema)
    registry.status = 503
    with pytest.raises(ConnectionsError):
        decoder.decode(messages([value]))
