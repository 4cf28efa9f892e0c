"""A headless Chromium, driven over a pair of pipes by the DevTools protocol: no driver, no port."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.real_kafka import UnavailableError

_FLAGS = (
    "--headless",
    "--no-sandbox",  # Root has none; the pages are the tests' own.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Chromium:
    """One page, and what the browser told of it.

    Raises UnavailableError where there is no Chromium.
    """

    def __init__(self, directory: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            raise UnavailableError("no Chromium: install it")
        read_end, self._out = os.pipe()
        self._in, write_end = os.pipe()
        # Chromium reads its commands from descriptor 3, and answers to 4.
        wired = f'exec "$0" "$@" 3<&{read_end} 4>&{write_end}'
        self._process = subprocess.Popen(
            ["bash", "-c", wired, program, *_FLAGS, f"--user-data-dir={directory}", "about:blank"],
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.told: list[dict[str, Any]] = []
        """The events of the page so far."""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.told.append(message)
        return message

    def open(self, path: Path) -> None:
        """Open a file, and return when it is loaded."""
        self.call("Page.navigate", url=path.as_uri())
        while not self.events("Page.loadEventFired"):
            self._next()

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """Return what the page told by these events."""
        return [each["params"] for each in self.told if each["method"] in methods]

    def value(self, script: str) -> Any:
        """Return what an expression is on the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._out)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
