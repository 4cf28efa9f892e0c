"""Connection settings: what reaches the client, and what must never be shown."""

from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from pydantic import ValidationError

from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.kafka import KafkaSettings, client_options, make_admin

LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "streamdrift",
}


def test_security_options_pass_through(tmp_path: Path) -> None:
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
        ({**LOGIN, "sasl_plain_password": "x", "sasl_plain_password_file": "y"}, "not both"),
        ({"group_id": "x"}, "group_id"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KafkaSettings(**options)


def test_nobody_there() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout="200ms")
    with pytest.raises(ConnectionsError, match=r"cannot connect at 127\.0\.0\.1:1") as caught:
        make_admin(settings)
    assert "bootstrap_servers" in str(caught.value.hint)
