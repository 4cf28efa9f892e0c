"""The rights that docs/operating.md grants are enough: to read, to commit, and to page."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.outbox import Outbox
from tests.alerts import make_document
from tests.http_receiver import receiving
from tests.markdown import ROOT, blocks
from tests.paging import until
from tests.programs import unavailable
from tests.real_kafka import PASSWORD, USER, RealKafka, UnavailableError, fetch_jars

_FIRST_START = 240.0
"""Seconds, as kernels may have to be compiled."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A node where `USER` may do what the commands of the page allow, and no more."""
    options = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    try:
        node = RealKafka(tmp_path_factory.mktemp("kafka"), options)
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")
    node.start()
    try:
        text = (ROOT / "docs" / "operating.md").read_text()
        (commands,) = (block for block in blocks(text, "sh") if "kafka-acls.sh" in block)
        tool = f"java -Xmx128m -cp {fetch_jars()}/* org.apache.kafka.tools.AclCommand"
        for theirs, here in (
            ("kafka-acls.sh", tool),
            ("HOST:9092", node.bootstrap),
            ("User:streamdrift", f"User:{USER}"),
        ):
            assert theirs in commands
            commands = commands.replace(theirs, here)
        subprocess.run(["bash", "-ef", "-c", commands], check=True, capture_output=True)
        yield node
    finally:
        node.stop()


@pytest.mark.parametrize("mode", ["standalone", "distributed"])
def test_they_are_enough(guarded: RealKafka, mode: str, tmp_path: Path) -> None:
    name = f"streamdrift.{mode}"
    (tmp_path / "password").write_text(PASSWORD)
    log = tmp_path / "log"
    mine = KafkaSettings(bootstrap_servers=guarded.bootstrap)
    if mode == "standalone":
        with closing(make_admin(mine)) as admin:
            admin.create_topics({"predictions": {"num_partitions": 1, "replication_factor": 1}})
    with receiving() as receiver:
        settings = {
            "name": name,
            "mode": mode,
            "kafka": {
                "bootstrap_servers": guarded.sasl_bootstrap,
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": USER,
                "sasl_plain_password_file": str(tmp_path / "password"),
            },
            "source": {"predictions": ["predictions"]},
            "guarantee": "exactly_once",
            "alerts": {"webhook": {"url": receiver.url}},
            "http": {"bind": None},
        }
        file = tmp_path / "streamdrift.yaml"
        file.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "streamdrift", "run", "-c", str(file)]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stderr=stderr)
        try:
            until(lambda: '"reading"' in log.read_text() or process.poll(), _FIRST_START)
            assert process.poll() is None, log.read_text()
            with closing(Outbox(mine)) as outbox:
                outbox.send(f"{name}.alerts", make_document(1), key=b"fraud")
                outbox.flush()
            until(lambda: receiver.posts)
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
        assert "rror" not in log.read_text()
