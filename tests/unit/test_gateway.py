"""The gateway's HTTP: who may post, what is a CloudEvent, and how much is taken at a time."""

import asyncio
import base64
import gzip
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.cloudevents import CloudEvent, CloudEventError, from_http, from_structured
from streamdrift.config import load_settings
from streamdrift.errors import SettingsError
from streamdrift.gateway.app import make_app
from streamdrift.gateway.metrics import GatewayMetrics
from streamdrift.gateway.settings import GatewaySettings
from streamdrift.gateway.writer import AwayError, Entry, TooLargeError
from tests.formats import structured

TOKEN = "0123456789abcdef"
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "a-1",
    "ce-source": "/scorer",
    "ce-type": "com.example",
    "content-type": "application/json",
}


class Taken:
    """Takes entries, or fails, or waits until it is let go on."""

    def __init__(self, error: Exception | None = None, hold: bool = False) -> None:
        self.entries: list[Entry] = []
        self.waiting = 0
        self._error = error
        self._go_on = asyncio.Event()
        if not hold:
            self._go_on.set()

    @property
    def connected(self) -> bool:
        return self._error is None

    async def connect(self) -> None:
        if self._error is not None:
            raise self._error

    async def write(self, entries: Sequence[Entry]) -> None:
        self.waiting += 1
        await self._go_on.wait()
        await self.connect()
        self.entries += entries

    def go_on(self) -> None:
        self._go_on.set()


def client(
    taken: Taken, token: str | None = None, base: str = "http://127.0.0.1:8411", **settings: object
) -> httpx2.AsyncClient:
    app = make_app(GatewaySettings.model_validate(settings), token, taken, GatewayMetrics())
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=base)


def post(
    body: bytes,
    headers: Mapping[str, str],
    taken: Taken | None = None,
    token: str | None = None,
    base: str = "http://127.0.0.1:8411",
    **settings: object,
) -> httpx2.Response:
    async def send() -> httpx2.Response:
        async with client(taken or Taken(), token, base, **settings) as session:
            return await session.post("/", content=body, headers=dict(headers))

    return asyncio.run(send())


def test_binary_events_become_records_with_their_attributes_as_headers() -> None:
    taken = Taken()
    headers = {**BINARY, "ce-subject": "caf%C3%A9", "x-other": "no"}
    assert post(b'{"instances":[[1]]}', headers, taken).status_code == 202
    (entry,) = taken.entries
    assert (entry.key, entry.value) == (b"a-1", b'{"instances":[[1]]}')
    assert dict(entry.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"a-1",
        "ce_source": b"/scorer",
        "ce_type": b"com.example",
        "ce_subject": "café".encode(),
    }


def test_structured_events_become_binary_ones() -> None:
    taken = Taken()
    body = structured(data={"x": 1}, partitionkey="fraud", sampledrate=3, traced=True)
    assert post(body, {"content-type": "application/cloudevents+json"}, taken).status_code == 202
    (entry,) = taken.entries
    assert (entry.key, entry.value) == (b"fraud", b'{"x":1}')
    assert dict(entry.headers)["ce_sampledrate"] == b"3"
    assert dict(entry.headers)["ce_traced"] == b"true"


@pytest.mark.parametrize(
    "data",
    [
        b"NaN",
        b'{"age":NaN,"big":[Infinity,-Infinity,null],"name":"\xc3\xbc"}',
        b'{"age":null,"null":1.5}',
    ],
)
def test_what_is_no_json_but_common_is_written_as_it_came(data: bytes) -> None:
    taken = Taken()
    body = structured(data=0).replace(b'"data": 0', b'"data": ' + data)
    assert post(body, {"content-type": "application/cloudevents+json"}, taken).status_code == 202
    assert [entry.value for entry in taken.entries] == [data]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 405), ("POST", "/elsewhere", 404)]
)
def test_what_is_not_there_is_told_as_a_problem_and_counted(
    method: str, path: str, status: int
) -> None:
    async def run() -> tuple[httpx2.Response, str]:
        async with client(Taken()) as session:
            answer = await session.request(method, path)
            return answer, (await session.get("/metrics")).text

    answer, metrics = asyncio.run(run())
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "POST / takes CloudEvents" in answer.json()["detail"]
    assert (answer.headers.get("allow") == "POST") is (status == 405)
    assert f'streamdrift_gateway_requests_total{{status="{status}"}} 1.0' in metrics


def test_a_batch_is_written_whole() -> None:
    taken = Taken()
    body = b"[" + structured(id="a", data=1) + b"," + structured(id="b", data="text") + b"]"
    kind = {"content-type": "application/cloudevents-batch+json"}
    assert post(body, kind, taken).status_code == 202
    assert [(entry.key, entry.value) for entry in taken.entries] == [
        (b"a", b"1"),
        (b"b", b'"text"'),
    ]


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"{}", {"content-type": "application/json"}, "no specversion, id, source, type"),
        (b"{}", {**BINARY, "ce-specversion": "0.3"}, "CloudEvents 0.3 are not read"),
        (b"{}", {**BINARY, "ce-bad_name": "x"}, "no name of an attribute"),
        (b"{", {"content-type": "application/cloudevents+json"}, "the body is no JSON"),
        (b"[]", {"content-type": "application/cloudevents+json"}, "a JSON object, not list"),
        (b"{}", {"content-type": "application/cloudevents-batch+json"}, "a JSON array"),
        (b"x", {"content-type": "application/cloudevents+avro"}, "is not read"),
        (
            structured(data_base64="&&&"),
            {"content-type": "application/cloudevents+json"},
            "data_base64 is no base64",
        ),
        (
            structured(extra={"x": 1}),
            {"content-type": "application/cloudevents+json"},
            "neither text, whole number nor boolean",
        ),
    ],
)
def test_what_is_no_cloudevent_is_told_why(
    body: bytes, headers: Mapping[str, str], said: str
) -> None:
    taken = Taken()
    answer = post(body, headers, taken)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert taken.entries == []


@given(
    st.binary(max_size=50) | st.builds(orjson.dumps, st.dictionaries(st.text(), st.text())),
    st.sampled_from(
        [
            "",
            "application/json",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
        ]
    ),
    st.dictionaries(st.sampled_from([*BINARY]), st.text(max_size=10)),
)
def test_rubbish_is_a_cloudevent_or_told_why(
    body: bytes, kind: str, headers: Mapping[str, str]
) -> None:
    try:
        events = from_http({**headers, "content-type": kind}, body, 1_000)
    except CloudEventError:
        return
    assert all(event.attributes["id"] for event in events)


@given(st.none() | st.booleans() | st.text() | st.dictionaries(st.text(), st.integers()))
def test_any_document_is_a_cloudevent_or_told_why(document: object) -> None:
    with pytest.raises(CloudEventError):
        from_structured(document)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 202),
        (f"bearer {TOKEN}", 202),
        (f"Bearer {TOKEN}x", 401),
        (f"Digest {TOKEN}", 401),
        ("Basic " + base64.b64encode(f"kserve:{TOKEN}".encode()).decode(), 202),
        ("Basic " + base64.b64encode(b"kserve:guess").decode(), 401),
        ("Basic ???", 401),
    ],
)
def test_the_token_is_asked_for(authorization: str | None, status: int) -> None:
    given = {} if authorization is None else {"authorization": authorization}
    taken = Taken()
    answer = post(b"{}", {**BINARY, **given}, taken, TOKEN, "http://gateway.shop")
    assert answer.status_code == status
    assert len(taken.entries) == (status == 202)
    assert TOKEN not in answer.text


def test_an_address_alone_is_enough_to_log_in() -> None:
    """As for KServe's logger, which is given a URL and sends no headers of one's own."""
    base = f"http://streamdrift:{TOKEN}@gateway.shop:8411"
    assert post(b"{}", BINARY, None, TOKEN, base).status_code == 202


def test_without_a_token_only_this_machine_may_post() -> None:
    assert post(b"{}", BINARY, base="http://localhost:8411").status_code == 202
    assert post(b"{}", BINARY, base="http://[::1]:8411").status_code == 202
    answer = post(b"{}", BINARY, base="http://rebound.example:8411")
    assert answer.status_code == 403
    assert "gateway.token_file" in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_body_that_is_compressed_is_refused(coding: str) -> None:
    """It would be written as it is, and be a dead letter."""
    taken = Taken()
    body = gzip.compress(b"{}")
    answer = post(body, {**BINARY, "content-encoding": coding}, taken)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity"
    assert "without Content-Encoding" in answer.json()["detail"]
    assert taken.entries == []
    assert post(b"{}", {**BINARY, "content-encoding": "Identity"}, taken).status_code == 202


def test_a_large_body_is_refused_before_it_is_read() -> None:
    taken = Taken()
    assert post(b"x" * 1_000, BINARY, taken, max_bytes=1_000).status_code == 202
    answer = post(b"x" * 1_001, BINARY, taken, max_bytes=1_000)
    assert answer.status_code == 413
    assert "1,000 bytes (gateway.max_bytes)" in answer.json()["detail"]
    assert len(taken.entries) == 1


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(AwayError("the brokers do not answer"), 503, "1"), (TooLargeError("of 2 MB"), 413, None)],
)
def test_what_is_not_acknowledged_is_not_accepted(
    error: Exception, status: int, retry: str | None
) -> None:
    answer = post(b"{}", BINARY, Taken(error))
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry)
    assert str(error) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_requests": 2}, "too many requests at a time"),
        ({"max_pending_bytes": 1 << 20, "max_bytes": 1 << 20}, "too much waits for the brokers"),
    ],
)
def test_what_is_too_much_is_asked_to_come_again(settings: Mapping[str, int], said: str) -> None:
    async def run() -> list[httpx2.Response]:
        taken = Taken(hold=True)
        async with client(taken, None, "http://127.0.0.1", **settings) as session:
            body = b"x" * (1 << 19)
            first = [
                asyncio.create_task(session.post("/", content=body, headers=BINARY)) for _ in "ab"
            ]
            while taken.waiting < 2:
                await asyncio.sleep(0.01)
            refused = await session.post("/", content=body, headers=BINARY)
            taken.go_on()
            answers = [refused, *await asyncio.gather(*first)]
            answers.append(await session.post("/", content=body, headers=BINARY))
            return answers

    refused, *others = asyncio.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert said in refused.json()["detail"]
    assert [answer.status_code for answer in others] == [202, 202, 202]


BATCH = {"content-type": "application/cloudevents-batch+json"}


def batch_of(events: int, data: object = 1) -> bytes:
    return b"[" + b",".join([structured(data=data)] * events) + b"]"


def test_a_batch_of_more_events_than_are_taken_is_refused() -> None:
    taken = Taken()
    answer = post(batch_of(4), BATCH, taken, max_events=3)
    assert answer.status_code == 413
    assert "the batch has 4 events, 3 at most (gateway.max_events)" in answer.json()["detail"]
    assert post(batch_of(3), BATCH, taken, max_events=3).status_code == 202
    assert post(b"[]", BATCH, taken).status_code == 202
    assert len(taken.entries) == 3
    small = b'{"specversion":"1.0","id":"1","source":"s","type":"t"}'
    dense = b"[" + b",".join([small] * (900_000 // 56)) + b"]"
    assert post(dense, BATCH, taken).status_code == 413


def test_events_of_a_batch_weigh_more_than_their_bytes() -> None:
    async def run() -> list[int]:
        taken = Taken(hold=True)
        async with client(taken, max_pending_bytes=1 << 20) as session:
            # 300 of them are more than may wait: alone they are taken all the same.
            first = asyncio.create_task(session.post("/", content=batch_of(300), headers=BATCH))
            while not taken.waiting:
                await asyncio.sleep(0.01)
            second = await session.post("/", content=batch_of(2), headers=BATCH)
            taken.go_on()
            third = await first
            fourth = await session.post("/", content=batch_of(2), headers=BATCH)
            return [each.status_code for each in (second, third, fourth)]

    assert asyncio.run(run()) == [503, 202, 202]


def test_others_are_served_while_a_large_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = threading.Event()
    go_on = threading.Event()

    def slowly(*arguments: object) -> list[CloudEvent]:
        reading.set()
        assert go_on.wait(10)
        return from_http(*arguments)  # type: ignore[arg-type]

    async def run() -> list[int]:
        async with client(Taken()) as session:
            monkeypatch.setattr("streamdrift.gateway.app.from_http", slowly)
            large = asyncio.create_task(session.post("/", content=batch_of(300), headers=BATCH))
            while not reading.is_set():
                await asyncio.sleep(0.01)
            healthy = await session.get("/healthz")
            go_on.set()
            return [healthy.status_code, (await large).status_code]

    assert asyncio.run(run()) == [200, 202]


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async def run() -> httpx2.Response:
        async def slowly() -> object:
            yield b"{"
            await asyncio.sleep(3)
            yield b"}"

        async with client(Taken(), None, timeout="1s") as session:
            return await session.post("/", content=slowly(), headers=BINARY)  # type: ignore[arg-type]

    assert asyncio.run(run()).status_code == 408


def test_metrics_and_health() -> None:
    async def run() -> list[httpx2.Response]:
        async with client(Taken(), TOKEN) as session:
            login = {"authorization": f"Bearer {TOKEN}"}
            await session.post("/", content=b"{}", headers={**BINARY, **login})
            return [
                await session.get("/healthz"),
                await session.get("/readyz"),
                await session.get("/metrics"),
                await session.get("/metrics", headers=login),
            ]

    alive, ready, refused, shown = asyncio.run(run())
    assert [alive.status_code, ready.status_code, refused.status_code] == [200, 200, 401]
    assert 'streamdrift_gateway_requests_total{status="202"} 1.0' in shown.text
    assert "streamdrift_gateway_events_total 1.0" in shown.text


def test_it_is_not_ready_while_the_brokers_are_away() -> None:
    async def run() -> int:
        async with client(Taken(AwayError("the brokers do not answer"))) as session:
            return (await session.get("/readyz")).status_code

    assert asyncio.run(run()) == 503


def test_a_token_is_needed_to_be_reached_from_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set token_file to a file with a token"):
        load_settings(None, ["gateway.bind=0.0.0.0:8411"], {})
    with pytest.raises(SettingsError, match="16 characters at least"):
        load_settings(None, ["gateway.token=short"], {})
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assignments = ["gateway.bind=0.0.0.0:8411", f"gateway.token_file={file}"]
    gateway = load_settings(None, assignments, {}).gateway
    assert gateway.secret() == TOKEN
    file.write_text("short")
    with pytest.raises(SettingsError, match="16 characters at least"):
        gateway.secret()
    file.unlink()
    with pytest.raises(SettingsError, match=r"gateway.token_file: .* cannot be read"):
        gateway.secret()


def test_the_token_is_not_shown() -> None:
    settings = load_settings(None, [], {"STREAMDRIFT_GATEWAY__TOKEN": TOKEN})
    assert settings.gateway.secret() == TOKEN
    assert TOKEN not in settings.text()
