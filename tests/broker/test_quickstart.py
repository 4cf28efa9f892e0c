"""What the quick start shows of a topic is what happens, command by command."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from streamdrift.kafka.clients import KafkaSettings
from tests.markdown import ROOT, blocks
from tests.topic_maker import TopicMaker

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
ADDRESS, TOPIC = "localhost:9092", "scoring-log"


def command(beginning: str) -> list[str]:
    """Return the arguments of the page's command that begins so; a pipe is left out."""
    lines = (line for block in blocks(PAGE, "sh") for line in block.splitlines())
    line = next(line for line in lines if line.startswith(f"streamdrift {beginning}"))
    return shlex.split(line.split(" | ")[0])[1:]


def test_the_topic_of_the_quick_start(
    connection: KafkaSettings, name: str, make_topic: TopicMaker, tmp_path: Path
) -> None:
    make_topic(connection, name, partitions=4)

    def here(text: str) -> str:
        return text.replace(ADDRESS, connection.bootstrap_servers).replace(TOPIC, name)

    def process(beginning: str, *further: str) -> list[str]:
        own = ["--set", f"name={name}-drift", *further]
        return [sys.executable, "-m", "streamdrift", *map(here, command(beginning)), *own]

    (settings,) = blocks(PAGE, "yaml")
    (tmp_path / "streamdrift.yaml").write_text(here(settings))
    exec(here(next(each for each in blocks(PAGE, "python") if "KafkaProducer" in each)), {})

    def run(beginning: str) -> str:
        done = subprocess.run(
            process(beginning), cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "connections: all right" in run("check")
    (first, *_) = run("replay kafka").splitlines()
    told = json.loads(first)["data"]["summary"]
    (shown,) = (each for each in blocks(PAGE, "") if each.startswith("amount of scoring-log"))
    assert told.split(": ")[0] == here(shown).split(": ")[0]
    service = subprocess.Popen(
        process("run", "--set", "http.bind=null"), cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        assert service.stdout is not None
        assert json.loads(service.stdout.readline())["data"]["summary"] == told
        service.send_signal(signal.SIGINT)
        assert service.wait(60) == 0
    finally:
        service.kill()
        service.communicate()
