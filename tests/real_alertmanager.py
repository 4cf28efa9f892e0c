"""A real Alertmanager in a process of its own: Debian's prometheus-alertmanager."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.real_kafka import UnavailableError, free_ports

_BINARIES = ("prometheus-alertmanager", "alertmanager")
_START_SECONDS = 30.0
USER, PASSWORD = "streamdrift", "correct horse"
_WEB = (
    f"basic_auth_users: {{{USER}: $2b$04$s6SrZJH.VHKCYksDm21JM..08sE112O9eppEr2IKYzL.r9xElqu9q}}\n"
)
_CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class RealAlertmanager:
    """One Alertmanager on a port of loopback, which may be stopped and started again.

    With `login` it wants USER and PASSWORD.
    """

    def __init__(self, folder: Path, *, login: bool = False) -> None:
        binary = next(filter(None, map(shutil.which, _BINARIES)), None)
        if binary is None:
            raise UnavailableError("no Alertmanager: install it (prometheus-alertmanager)")
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "alertmanager.yml").write_text(_CONFIG)
        self._command = [
            binary,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        self._login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() if login else ""
        if login:
            (folder / "web.yml").write_text(_WEB)
            self._command.append(f"--web.config.file={folder / 'web.yml'}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.get("/-/ready")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"it did not start:\n{(self._folder / 'log').read_text()[-2_000:]}")

    def stop(self) -> None:
        """End it: alerts are in its memory alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def get(self, path: str) -> bytes:
        """Return what it answers."""
        headers = {"Authorization": f"Basic {self._login}"} if self._login else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            body: bytes = answer.read()
        return body

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that last, by model."""
        found: list[dict[str, Any]] = json.loads(self.get("/api/v2/alerts"))
        return sorted(found, key=lambda alert: str(alert["labels"].get("model")))

    def firing(self) -> list[tuple[str, str]]:
        """Return model and severity of the alerts that last."""
        return [(each["labels"]["model"], each["labels"]["severity"]) for each in self.alerts()]
