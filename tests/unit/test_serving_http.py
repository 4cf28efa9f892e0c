"""What `streamdrift run` serves, and where others are told to reach it."""

import json
import urllib.request
from contextlib import closing

import pytest

from streamdrift.commands.http import Here, advertised, serving_http
from streamdrift.config import Settings
from streamdrift.errors import SettingsError
from streamdrift.http.server import listen
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.desk import Desk
from streamdrift.workers.places import Place
from tests.api import TOKEN, looped, monitors, table


class Well:
    ready = healthy = True


def chosen(**http: object) -> Settings:
    return Settings.model_validate({"instance": "a", "http": {"token": TOKEN, **http}})


@pytest.mark.parametrize(
    ("http", "host"),
    [
        ({"bind": "127.0.0.1:0"}, "127.0.0.1"),
        ({"bind": "0.0.0.0:0"}, "this-host"),
        ({"bind": "127.0.0.1:0", "advertise": "pod.service:80"}, None),
    ],
)
def test_others_are_told_where_it_listens(
    monkeypatch: pytest.MonkeyPatch, http: dict[str, object], host: str | None
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "this-host")
    settings = chosen(**http)
    address = settings.http.address()
    assert address is not None
    with closing(listen("http.bind", address)) as listener:
        port = listener.getsockname()[1]
        expected = "pod.service:80" if host is None else f"{host}:{port}"
        assert advertised(settings, listener) == expected


def test_it_is_served_until_the_end() -> None:
    desk = Desk()
    here = Here(Well(), desk, Metrics(), table(), lambda: True)
    with (
        looped(desk, monitors()),
        serving_http(chosen(bind="127.0.0.1:0"), here) as place,
    ):
        assert place.instance == "a"
        url = f"http://{place.address}/api/v1/models"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert len(json.loads(answer.read())["items"]) == 4


def test_nothing_is_served_where_that_is_said() -> None:
    here = Here(Well(), Desk(), Metrics(), table(), lambda: True)
    with serving_http(chosen(bind=None), here) as place:
        assert place == Place("a", None)


def test_a_port_in_use_is_said() -> None:
    here = Here(Well(), Desk(), Metrics(), table(), lambda: True)
    with closing(listen("http.bind", ("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SettingsError, match=str(port)),
            serving_http(chosen(bind=f"127.0.0.1:{port}"), here),
        ):
            pass
