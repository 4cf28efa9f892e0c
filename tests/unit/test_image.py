"""The image: what is installed in it, of which versions, and what it says of itself."""

import re
import tomllib

from tests.markdown import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_it_has_every_extra_but_the_demo() -> None:
    (extras,) = re.findall(r'pip install .*-c constraints\.txt "\.\[(.*)\]"', DOCKERFILE)
    assert {*extras.split(",")} == PROJECT["optional-dependencies"].keys() - {"demo"}


def test_what_the_extras_need_is_pinned() -> None:
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    wanted = [
        re.split(r"[<>=]", each)[0]
        for name, needs in PROJECT["optional-dependencies"].items()
        if name != "demo"
        for each in needs
    ]
    assert {*wanted} <= {*pinned}


def test_the_version_of_what_it_stands_on_is_pinned() -> None:
    images = re.findall(r"^FROM ([a-z]+:\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim", images[0])


def test_it_asks_for_no_health_at_a_port_that_may_not_be_served() -> None:
    """Each command serves at another port, or none: a check of the image's would be wrong."""
    assert not re.search(r"^HEALTHCHECK", DOCKERFILE, re.MULTILINE)
