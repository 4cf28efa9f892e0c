"""Connection settings: what reaches the client, and what must never be shown."""

from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from pydantic import ValidationError

from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.kafka.clients import KafkaSettings, client_options, make_admin

LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "streamdrift",
}


def test_security_options_pass_through(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    settings = KafkaSettings(
        bootstrap_servers="a:1, b:2",
        sasl_plain_password="hidden",
        ssl_cafile=tmp_path / "ca.pem",
        ssl_password="hidden too",
        ssl_check_hostname=False,
        **LOGIN,
    )
    options = client_options(settings)
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["sasl_plain_password"] == "hidden"
    assert options["ssl_cafile"] == str(tmp_path / "ca.pem")
    assert options["ssl_check_hostname"] is False
    assert "hidden" not in repr(settings) + settings.model_dump_json()
    assert options.keys() <= KafkaConsumer.DEFAULT_CONFIG.keys()
    assert options.keys() <= KafkaProducer.DEFAULT_CONFIG.keys()


def test_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    settings = KafkaSettings(sasl_plain_password_file=file, **LOGIN)
    assert client_options(settings)["sasl_plain_password"] == "from a file"
    file.unlink()
    with pytest.raises(SettingsError, match="sasl_plain_password_file"):
        client_options(settings)


def test_a_renewed_token_is_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=file
    )
    provider = client_options(settings)["sasl_oauth_token_provider"]
    assert provider.token() == "first"
    file.write_text("second")
    assert provider.token() == "second"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"sasl_mechanism": "PLAIN"}, "security_protocol"),
        (LOGIN, "sasl_plain_password"),
        ({**LOGIN, "sasl_plain_password": "x", "sasl_plain_password_file": __file__}, "not both"),
        ({"group_id": "x"}, "group_id"),
        ({"ssl_check_hostname": "no"}, "ssl_check_hostname"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KafkaSettings(**options)


@pytest.mark.parametrize(
    "servers",
    ["host:99999", "host:0", "a:1, b:x", "a:", ":9092", "", " , ", "a:1 b:2", "[::1:9092"],
)
def test_servers_have_hosts_and_ports(servers: str) -> None:
    with pytest.raises(ValidationError, match="is no broker: write host:port"):
        KafkaSettings(bootstrap_servers=servers)


@pytest.mark.parametrize(
    "servers", ["host", "a-1.b_c:1,10.0.0.1:65535,", "[::1]:9092", "PLAINTEXT://a:9092"]
)
def test_servers_may_be_written_as_the_client_reads_them(servers: str) -> None:
    assert KafkaSettings(bootstrap_servers=servers).bootstrap_servers == servers


@pytest.mark.parametrize(
    "name",
    [
        *("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"),
        *("ssl_password_file", "sasl_plain_password_file", "sasl_oauth_token_file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake(name: str, tmp_path: Path) -> None:
    for file, problem in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ValidationError, match=f"{file}' cannot be read: {problem}"):
            KafkaSettings.model_validate({name: str(file)})


def test_nobody_there() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout="200ms")
    with pytest.raises(ConnectionsError, match=r"cannot connect at 127\.0\.0\.1:1") as caught:
        make_admin(settings)
    assert "bootstrap_servers" in str(caught.value.hint)
