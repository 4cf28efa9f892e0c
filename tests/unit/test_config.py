import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from pydantic import BaseModel, ValidationError, model_validator

from streamdrift.config import Settings, load_settings, settings_schema
from streamdrift.config import settings as config_settings
from streamdrift.config.layers import parse_file, read_assignments, read_environment
from streamdrift.durations import SECOND
from streamdrift.errors import SettingsError
from streamdrift.models.settings import ModelSettings

Load = Callable[..., Settings]
Report = Callable[..., str]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(
        text: str | None = None,
        assignments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        file = None
        if text is not None:
            file = tmp_path / "streamdrift.yaml"
            file.write_text(text)
        return load_settings(file, assignments, environment or {})

    return load


@pytest.fixture
def mistakes(load: Load) -> Report:
    def mistakes(*arguments: Any, **options: Any) -> str:
        with pytest.raises(SettingsError) as error:
            load(*arguments, **options)
        return str(error.value)

    return mistakes


def test_everything_has_a_default(load: Load) -> None:
    settings = load()
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.name == "streamdrift"
    assert settings.http.address() == ("127.0.0.1", 8410)
    assert settings.instance


def test_settings_are_frozen(load: Load) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().name = "other"  # type: ignore[misc]  # what is tested


def test_an_empty_file_is_the_defaults(load: Load) -> None:
    assert load("# nothing yet\n") == load()


def test_assignments_go_before_environment_before_file(load: Load) -> None:
    text = "name: file\ncommit_interval: 2s\nkafka: {client_id: file, bootstrap_servers: file:1}\n"
    settings = load(
        text,
        ["name=assigned"],
        {"STREAMDRIFT_NAME": "environment", "STREAMDRIFT_KAFKA__CLIENT_ID": "environment"},
    )
    assert settings.name == "assigned"
    assert settings.kafka.client_id == "environment"
    assert settings.kafka.bootstrap_servers == "file:1"
    assert settings.commit_interval == 2 * SECOND


def test_assigned_values_are_typed_as_in_yaml(load: Load) -> None:
    settings = load(
        assignments=["topics.create=false", "source.predictions=[a, {pattern: b.*}]", "http.bind="]
    )
    assert settings.topics.create is False
    assert [topic.name or topic.pattern for topic in settings.source.predictions] == ["a", "b.*"]
    assert settings.http.address() is None


@pytest.mark.parametrize("number", ["5", "5.5", "true", "-1", "'7'"])
@pytest.mark.parametrize("key", ["commit_interval", "models.*.reference.span"])
def test_a_duration_needs_its_unit(mistakes: Report, key: str, number: str) -> None:
    message = mistakes(assignments=[f"{key}={number}"])
    assert message.startswith(f"{key} (--set")
    assert "is no duration: write a number and us, ms, s, m, h, d or w" in message


def test_a_duration_of_nothing_needs_no_unit(load: Load) -> None:
    assert load(assignments=["models.a.reference.span=0"]).model("a").reference.span == 0


def test_microseconds_are_durations_in_code() -> None:
    assert Settings.model_validate({"commit_interval": 5 * SECOND}).commit_interval == 5 * SECOND


def test_text_stays_text_where_text_is_wanted(load: Load) -> None:
    settings = load(
        assignments=["name=7", "kafka.bootstrap_servers=broker:9092"],
        environment={
            "STREAMDRIFT_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "STREAMDRIFT_KAFKA__SASL_MECHANISM": "PLAIN",
            "STREAMDRIFT_KAFKA__SASL_PLAIN_USERNAME": "true",
            "STREAMDRIFT_KAFKA__SASL_PLAIN_PASSWORD": "0123",
        },
    )
    assert settings.name == "7"
    assert settings.kafka.bootstrap_servers == "broker:9092"
    assert settings.kafka.sasl_plain_username == "true"
    assert settings.kafka.sasl_plain_password is not None
    assert settings.kafka.sasl_plain_password.get_secret_value() == "0123"


def test_every_mistake_is_reported_at_once_with_its_place(mistakes: Report) -> None:
    text = """\
name: my deployment
commit_interval: soon
kafka:
  bootstrap_server: localhost:9092
http:
  bind: localhost
"""
    message = mistakes(text, ["topics.create=perhaps"], {"STREAMDRIFT_SOURCE__FORMT": "json"})
    lines = message.splitlines()
    assert lines[0] == "6 mistakes in the settings:"
    found = {line.split(" (")[0].strip(): line for line in lines[1:]}
    assert set(found) == {
        "name",
        "commit_interval",
        "kafka.bootstrap_server",
        "http.bind",
        "topics.create",
        "source.formt",
    }
    assert "streamdrift.yaml:1)" in found["name"]
    assert "streamdrift.yaml:2)" in found["commit_interval"]
    assert "'soon' is no duration" in found["commit_interval"]
    assert "streamdrift.yaml:4)" in found["kafka.bootstrap_server"]
    assert "did you mean `bootstrap_servers`?" in found["kafka.bootstrap_server"]
    assert "such as 127.0.0.1:8410, not 'localhost'" in found["http.bind"]
    assert "(--set topics.create)" in found["topics.create"]
    assert "'perhaps'" in found["topics.create"]
    assert "(environment variable STREAMDRIFT_SOURCE__FORMT)" in found["source.formt"]
    assert "did you mean `format`?" in found["source.formt"]


def test_a_setting_in_the_wrong_place_is_shown_its_own(mistakes: Report) -> None:
    message = mistakes("bootstrap_servers: localhost:9092\n")
    assert "unknown setting here; did you mean `kafka.bootstrap_servers`?" in message


def test_a_variable_with_an_underscore_too_few_is_shown_its_own() -> None:
    for given, meant in (
        ("STREAMDRIFT_HTTP_BIND", "STREAMDRIFT_HTTP__BIND"),
        ("STREAMDRIFT_ALERTS__WEBHOOK_URL", "STREAMDRIFT_ALERTS__WEBHOOK__URL"),
    ):
        with pytest.raises(SettingsError, match=f"as a variable `{meant}`"):
            load_settings(None, [], {given: "127.0.0.1:8410"})


def test_mistakes_speak_yaml(mistakes: Report) -> None:
    message = mistakes("source: {predictions: [7]}\nhttp: 3\ntopics: {create: 7}\nmodels: []\n")
    lines = [line.split("): ")[1] for line in message.splitlines()[1:]]
    assert sorted(lines) == [
        "must be a mapping of keys to values",
        "must be a mapping of keys to values, not 3",
        "must be a mapping of keys to values, not 7",
        "must be true or false, not 7",
    ]


def test_allowed_values_are_listed(mistakes: Report) -> None:
    message = mistakes("kafka: {security_protocol: TLS}\n")
    assert "must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL', not 'TLS'" in message


def test_a_key_given_twice_is_a_mistake(mistakes: Report) -> None:
    message = mistakes("name: a\nhttp: {}\nname: b\n")
    assert "name (" in message
    assert "given twice" in message
    assert "streamdrift.yaml:1 and" in message


def test_yaml_syntax_errors_have_a_line(mistakes: Report) -> None:
    message = mistakes("name: a\nkafka:\n  client_id: [1, 2\nhttp: {}\n")
    assert "streamdrift.yaml:4:5: not valid YAML: expected ',' or ']'" in message
    assert "a tab where YAML wants spaces" in mistakes("kafka:\n\tclient_id: x\n")


def test_a_file_that_is_no_mapping_is_refused(mistakes: Report) -> None:
    assert "the settings must be a mapping" in mistakes("- a\n- b\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_settings(tmp_path / "x.yaml")


@pytest.mark.parametrize("assignment", ["name", "=x", ""])
def test_an_assignment_needs_key_and_value(assignment: str) -> None:
    with pytest.raises(SettingsError, match="no key and value"):
        load_settings(None, [assignment], {})


def test_unknown_environment_variables_are_reported(mistakes: Report) -> None:
    message = mistakes(environment={"STREAMDRIFT_BOOTSTRAP_SERVERS": "x:1"})
    assert "STREAMDRIFT_BOOTSTRAP_SERVERS" in message
    assert "did you mean `kafka.bootstrap_servers`?" in message


def test_variables_of_tests_and_of_kubernetes_are_not_settings(load: Load) -> None:
    foreign = {
        "STREAMDRIFT_TEST_BOOTSTRAP": "localhost:9092",
        "STREAMDRIFT_CACHE_DIR": "/var/cache/streamdrift",
        "STREAMDRIFT_SERVICE_HOST": "10.0.0.1",
        "STREAMDRIFT_SERVICE_PORT_HTTP": "8410",
        "STREAMDRIFT_PORT": "tcp://10.0.0.1:8410",
        "STREAMDRIFT_PORT_8410_TCP_ADDR": "10.0.0.1",
        "STREAMDRIFT_NAME": "",
    }
    assert load(environment=foreign) == load()


def test_workers_need_transactions_and_names_that_the_brokers_take(
    load: Load, mistakes: Report
) -> None:
    mode = "mode=distributed"
    assert "transactions" in mistakes(assignments=[mode, "guarantee=at_least_once"])
    assert "letters, digits" in mistakes(assignments=[mode, "instance=worker 1"])
    assert "each role once" in mistakes(assignments=["worker.roles=[ingest, ingest]"])
    assert load(assignments=[mode, "name=d", "instance=w-1"]).exchange.topic == "d.exchange"


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:8410", "10.0.0.7:8410", '"[::]:8410"', "host.example:8410", "127.evil:8410"]
)
def test_to_bind_wider_takes_a_token(load: Load, mistakes: Report, bind: str) -> None:
    told = mistakes(assignments=[f"http.bind={bind}"])
    assert "set http.token_file" in told
    assert "STREAMDRIFT_HTTP__TOKEN" in told
    environment = {"STREAMDRIFT_HTTP__TOKEN": "1234567890123456"}
    chosen = load(assignments=[f"http.bind={bind}"], environment=environment)
    assert chosen.http.secret() == "1234567890123456"
    assert "1234567890123456" not in chosen.text()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.3.2.1:80", "localhost:8410", '"[::1]:1"', ""])
def test_on_this_machine_no_token_is_needed(load: Load, bind: str) -> None:
    chosen = load(assignments=[f"http.bind={bind}"])
    assert chosen.http.is_local
    assert chosen.http.secret() is None


def test_a_token_may_be_in_a_file(load: Load, mistakes: Report, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-in-a-file-7\n")
    both = [f"http.token_file={file}", "http.token=a-token-of-its-own"]
    assert load(assignments=both[:1]).http.secret() == "a-token-in-a-file-7"
    assert "not both" in mistakes(assignments=both)
    file.write_bytes(b"\xff")
    assert "it is no text" in mistakes(assignments=both[:1])
    file.write_text("short")
    assert "16 characters" in mistakes(assignments=both[:1])
    assert "cannot be read" in mistakes(assignments=[f"http.token_file={tmp_path / 'none'}"])


@pytest.mark.parametrize(("text", "told"), [("", "16 characters"), (None, "cannot be read")])
def test_a_token_that_is_gone_lets_nobody_in(
    load: Load, tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-in-a-file-7")
    http = load(assignments=[f"http.token_file={file}"]).http
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=f"http.token_file: .*{told}"):
        http.secret()


@pytest.mark.parametrize("token", ["short", "with blanks in it 16", "\u00fcmlaut-in-this-token"])
def test_a_token_that_is_none_is_not_told(mistakes: Report, token: str) -> None:
    told = mistakes(assignments=[f'http.token="{token}"'])
    assert "openssl rand -hex 32" in told
    assert token not in told


@pytest.mark.parametrize(("given", "most"), [("all", None), ("0", 0), ("7", 7)])
def test_how_many_series_are_shown(load: Load, given: str, most: int | None) -> None:
    assert load(assignments=[f"http.max_series={given}"]).http.most_series == most


@pytest.mark.parametrize("given", ["some", "-1", "1.5"])
def test_what_is_no_number_of_series(mistakes: Report, given: str) -> None:
    assert "http.max_series" in mistakes(assignments=[f"http.max_series={given}"])


@pytest.mark.parametrize("bind", ["8410", "localhost:http", "localhost:99999", ":8410"])
def test_a_bind_needs_address_and_port(mistakes: Report, bind: str) -> None:
    assert "must be an address and a port" in mistakes(assignments=[f"http.bind={bind}"])


def test_an_ipv6_address_can_be_bound(load: Load) -> None:
    assert load(assignments=['http.bind="[::1]:8410"']).http.address() == ("::1", 8410)


def test_entries_of_models_lie_over_one_another_key_by_key(load: Load) -> None:
    settings = load("""\
models:
  fraud-eu: {ignore: [session_id]}
  "*": {reference: {events: 500}, private: [email]}
  fraud-*: {reference: {span: 1h}, ignore: [trace]}
""")
    model = settings.model("fraud-eu")
    assert model.reference.events == 500
    assert model.reference.span == 3600 * SECOND
    assert model.ignore == ("session_id",)
    assert model.private == ("email",)
    assert settings.model("fraud-us").ignore == ("trace",)
    assert settings.model("other").reference.span == 7 * 86_400 * SECOND
    assert settings.model("other").reference.events == 500
    assert settings.model("other") is settings.model("another")


def test_a_mistake_in_a_model_is_placed(mistakes: Report) -> None:
    message = mistakes('models: {"*": {referense: {}}, "fraud.eu": {reference: {events: none}}}\n')
    assert "models.*.referense" in message
    assert "did you mean `reference`?" in message
    assert 'models."fraud.eu".reference.events' in message
    assert "not 'none'" in message


def test_a_model_can_have_a_number_or_dots_for_a_name(load: Load) -> None:
    settings = load("models: {7: {ignore: [a]}}\n", ['models."fraud.eu".ignore=[b]'])
    assert settings.model("7").ignore == ("a",)
    assert settings.model("fraud.eu").ignore == ("b",)


def test_secrets_are_not_shown(load: Load) -> None:
    settings = load("""\
kafka:
  security_protocol: SASL_SSL
  sasl_mechanism: PLAIN
  sasl_plain_username: user
  sasl_plain_password: swordfish
""")
    assert "swordfish" not in settings.text()
    assert "**********" in settings.text()
    assert "swordfish" not in repr(settings)


def test_secrets_are_not_shown_in_mistakes(mistakes: Report) -> None:
    message = mistakes("kafka: {sasl_plain_password: [swordfish], ssl_password: 77077}\n")
    assert "kafka.ssl_password" in message
    assert "swordfish" not in message
    assert "77077" not in message


def test_what_is_shown_can_be_read_again(load: Load) -> None:
    settings = load("models: {fraud: {reference: {span: 1h}}}\ncommit_interval: 1500ms\n")
    again = load(settings.text())
    assert again.text() == settings.text()
    assert again.model("fraud") == settings.model("fraud")


def test_yaml_follows_the_core_schema() -> None:
    values = parse_file("a: no\nb: 2026-11-21T12:00:00Z\nc: 1e3\nd: 0123\ne: true\n", "x").values
    assert values == {"a": "no", "b": "2026-11-21T12:00:00Z", "c": 1000.0, "d": "0123", "e": True}


def test_environment_values_that_are_no_yaml_are_text() -> None:
    values = read_environment({"STREAMDRIFT_NAME": "*x", "STREAMDRIFT_A__B": "a: b"}).values
    assert values == {"name": "*x", "a": {"b": "a: b"}}


def test_assignments_that_overlap_add_up() -> None:
    values = read_assignments(["a.b=1", "a.c={d: 2}", "a.c.e=3"]).values
    assert values == {"a": {"b": 1, "c": {"d": 2, "e": 3}}}


def test_the_schema_describes_every_key() -> None:
    schema = settings_schema()
    json.dumps(schema)

    def undescribed(node: Mapping[str, Any], path: str) -> Iterator[str]:
        for name, item in node.get("properties", {}).items():
            if "description" not in item:
                yield f"{path}.{name}"

    missing = [*undescribed(schema, "settings")]
    for name, definition in schema["$defs"].items():
        missing += undescribed(definition, name)
    assert missing == []


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "null": lambda value: value is None,
}


def _breaches(value: Any, node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[str]:
    """Yield how a value breaches a schema, in as much of JSON Schema as the settings use."""
    if "$ref" in node:
        yield from _breaches(value, root["$defs"][node["$ref"].rsplit("/", 1)[1]], root)
    for union in {"anyOf", "oneOf"} & node.keys():
        found = [[*_breaches(value, branch, root)] for branch in node[union]]
        if all(found):
            yield f"{value!r} fits no branch: {found}"
    if "type" in node and not _TYPES[node["type"]](value):
        yield f"{value!r} is no {node['type']}"
        return
    if value not in node.get("enum", [value]) or value != node.get("const", value):
        yield f"{value!r} is not allowed"
    if "pattern" in node and not re.search(node["pattern"], value):
        yield f"{value!r} does not match"
    if isinstance(value, dict) and {"properties", "additionalProperties"} & node.keys():
        properties, others = node.get("properties", {}), node.get("additionalProperties", True)
        yield from (f"{key} is missing" for key in node.get("required", ()) if key not in value)
        for key, item in value.items():
            if key not in properties and others is False:
                yield f"{key} is unknown"
            elif key in properties or isinstance(others, Mapping):
                below = properties.get(key, others)
                yield from (f"{key}: {text}" for text in _breaches(item, below, root))
    for item in value if isinstance(value, list) else ():
        yield from _breaches(item, node.get("items", {}), root)


def test_what_is_shown_keeps_to_the_schema(load: Load) -> None:
    settings = load("""\
kafka: {security_protocol: SASL_SSL, sasl_mechanism: PLAIN, sasl_plain_username: a,
        sasl_plain_password: b}
source: {predictions: [a, {pattern: b, mapping: {model: {header: c}, time: null}}]}
http: {bind: null}
models:
  a: {detectors: [{kind: adwin}, {kind: river, name: FHDDM, parameters: {sliding_window_size: 50}}]}
""")
    schema = settings_schema()
    for shown in (load(), settings):
        assert [*_breaches(yaml.safe_load(shown.text()), schema, schema)] == []
    assert [*_breaches({"commit_interval": 5, "nam": "a"}, schema, schema)] == [
        "commit_interval: 5 is no string",
        "nam is unknown",
    ]


def test_the_schemas_defaults_keep_to_it() -> None:
    schema = settings_schema()
    breaches = [
        f"{name}: {text}"
        for section in (schema, *schema["$defs"].values())
        for name, node in section.get("properties", {}).items()
        if "default" in node
        for text in _breaches(node["default"], node, schema)
    ]
    assert breaches == []
    assert schema["properties"]["commit_interval"]["default"] == "1s"


def test_every_section_is_frozen_and_forbids_what_it_does_not_know() -> None:
    for field in Settings.model_fields.values():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            assert section.model_config["frozen"] is True
            assert section.model_config["extra"] == "forbid"


def test_the_text_is_yaml_of_plain_values(load: Load) -> None:
    assert yaml.safe_load(load().text())["topics"] == {"create": True}


def test_topics_bear_the_name_of_the_deployment(load: Load) -> None:
    assert load().alerts.topic == "streamdrift.alerts"
    named = load(assignments=["name=a"])
    assert named.alerts.topic == "a.alerts"
    assert named.state.topic == "a.state"
    assert named.state.journal == "a.journal"
    assert named.source.dead_letters == "a.dead-letters"
    assert load(assignments=["name=a", "alerts.topic=b"]).alerts.topic == "b"


def test_mistakes_of_every_kind_are_reported_at_once(mistakes: Report) -> None:
    message = mistakes("""\
commit_interval: soon
source:
  format: xml
  mapping:
    features: inputs
    foo: /x
    model: {headr: a}
  fetch_max_bytes: few
models:
  "*": {detectors: [{kind: adwin, delta: 2}]}
  a: {reference: {events: 100}}
  b: {reference: {events: none}}
""")
    lines = message.splitlines()[1:]
    found = {line.split(" (")[0].strip(): line.split("): ")[0].rpartition(":")[2] for line in lines}
    assert found == {
        "commit_interval": "1",
        "source.format": "3",
        "source.mapping.features": "5",
        "source.mapping.foo": "6",
        "source.mapping.model.headr": "7",
        "source.fetch_max_bytes": "8",
        "models.*.detectors[0].delta": "10",
        "models.b.reference.events": "12",
    }


class _Ordered(ModelSettings):
    """Demands something of two keys, as no section does so far."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.incidents.critical_effect < self.incidents.warning_effect:
            raise ValueError("critical below warning")
        return self


def test_entries_that_clash_are_found_beside_other_mistakes(
    mistakes: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_settings, "ModelSettings", _Ordered)
    message = mistakes("""\
commit_interval: soon
models:
  a*: {incidents: {critical_effect: 0.5}}
  ab: {incidents: {warning_effect: 0.8}}
  ac: {incidents: {warning_effect: 0.8, gather: soon}}
""")
    assert "models.ab (" in message
    assert "critical below warning" in message
    assert [line.split(" (")[0].strip() for line in message.splitlines()[1:]] == [
        "models.ac.incidents.gather",
        "commit_interval",
        "models.ab",
    ]


@pytest.mark.parametrize(
    ("mapping", "place", "message"),
    [
        ("time: {topic: true}", "time.topic", "write a text, or a mapping with header"),
        ("time: {constant: a}", "time.constant", "write a text, or a mapping with header"),
        ("time: now", "time", "'now' is no JSON Pointer"),
        ("model: {topic: false}", "model.topic", "must be True, not False"),
        (
            "model: {header: a, key: true}",
            "model.header",
            "give only one of: constant, header, key, topic",
        ),
    ],
)
def test_a_wrong_place_is_told_which_are_allowed(
    mistakes: Report, mapping: str, place: str, message: str
) -> None:
    report = mistakes(f"source: {{mapping: {{{mapping}}}}}\n")
    lines = [line for line in report.splitlines() if f"source.mapping.{place} (" in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert "did you mean" not in report


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("kafka.bootstrap_servers=host:99999", "'host:99999' is no broker: write host:port"),
        ("kafka.ssl_keyfile=/nowhere/a", "'/nowhere/a' cannot be read: No such file"),
        ("topics.create='yes'", "must be true or false, not 'yes'"),
        ("topics.create=1", "must be true or false, not 1"),
        ("alerts.stdout=on", "must be true or false, not 'on'"),
        ("models.*.silence.enabled=off", "must be true or false, not 'off'"),
        ("source.predictions=[a, b, a]", "[0] and [2] are both 'a': leave one of them out"),
    ],
)
def test_values_that_would_fail_later_are_refused(
    mistakes: Report, assignment: str, message: str
) -> None:
    report = mistakes(assignments=[assignment])
    key = assignment.partition("=")[0]
    assert report.startswith(f"{key} (--set {key}): ")
    assert message in report
    assert "hidden" not in report


@pytest.mark.parametrize(
    ("assignments", "place", "keys"),
    [
        (["alerts.topic=predictions"], "alerts (--set", "alerts.topic source.predictions[0]"),
        (
            ["source.predictions=[{pattern: a}, b]", "source.dead_letters=b"],
            "source (--set",
            "source.dead_letters source.predictions[1]",
        ),
        (["state.topic=x", "state.journal=x"], "state (--set", "state.journal state.topic"),
        (["name=a", "alerts.topic=a.dead-letters"], "alerts", "alerts.topic source.dead_letters"),
        (["source.dead_letters=streamdrift.state"], "state:", "state.topic source.dead_letters"),
        (["source.predictions=[streamdrift.alerts]"], "alerts:", "alerts.topic source.predictions"),
    ],
)
def test_no_topic_has_two_uses(
    mistakes: Report, assignments: list[str], place: str, keys: str
) -> None:
    message = mistakes(assignments=[*assignments, "commit_interval=soon"])
    (line,) = [line for line in message.splitlines() if "is the topic" in line]
    assert line.strip().startswith(place)
    assert all(key in line for key in keys.split())
    assert line.endswith("give one of them another name")


def test_a_topic_has_a_name_that_brokers_take(mistakes: Report) -> None:
    report = mistakes(assignments=["source.predictions=['pre(dic']"])
    assert "'pre(dic' is no topic's name" in report
    assert "give many topics as {pattern: ...}" in report


def test_a_pattern_may_span_the_deployments_topics(load: Load) -> None:
    assert load(assignments=["source.predictions=[{pattern: .*}]"]).source.predictions


def test_mistakes_in_mappings_and_formats_are_placed(mistakes: Report) -> None:
    message = mistakes("""\
source:
  format: jsn
  mapping: {feature: /x, time: {hedaer: ts}, score: outputs}
  predictions:
    - {name: a, mapping: {model: 3}, format: xml}
""")
    lines = {line.split(" (")[0].strip(): line for line in message.splitlines()[1:]}
    assert set(lines) == {
        "source.format",
        "source.mapping.feature",
        "source.mapping.time.hedaer",
        "source.mapping.score",
        "source.predictions[0].mapping.model",
        "source.predictions[0].format",
    }
    assert "must be one of: arrow, avro, " in lines["source.format"]
    assert "did you mean `features`?" in lines["source.mapping.feature"]
    assert "streamdrift.yaml:3)" in lines["source.mapping.score"]
    assert "is no JSON Pointer" in lines["source.mapping.score"]
