"""A schema registry that speaks the documented API: a local HTTP server with schemas in memory.

https://docs.confluent.io (Schema Registry API reference): what serialisers ask for to register
schemas, and deserialisers to find them.
"""

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

_NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
_TYPE = "application/vnd.schemaregistry.v1+json"


class Registry:
    """Schemas by subject; ids count from 1, and a GUID follows from what a schema says.

    `status` makes every answer a failure, `elsewhere` a redirect to there; `authorization` is what
    who asks must say. `headers` has what was said with what was `asked`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.elsewhere: str | None = None
        self.status: int | None = None
        self.authorization: str | None = None
        self._schemas: dict[int, dict[str, Any]] = {}
        self._subjects: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the id of a schema, given as the API has it (`schema`, `schemaType`, ...)."""
        with self._lock:
            known = [number for number, each in self._schemas.items() if each == schema]
            number = known[0] if known else len(self._schemas) + 1
            self._schemas[number] = dict(schema)
            versions = self._subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
        return number

    def guid(self, number: int) -> uuid.UUID:
        """Return the GUID of a schema."""
        return uuid.uuid5(_NAMESPACE, json.dumps(self._schemas[number], sort_keys=True))

    def get(self, path: str) -> dict[str, Any] | list[str] | None:
        """Return the answer to a GET, None where there is none."""
        parts = [unquote(part) for part in path.split("?")[0].strip("/").split("/")]
        if parts == ["subjects"]:
            return list(self._subjects)
        if parts[:2] == ["schemas", "ids"]:
            return self._schemas.get(int(parts[2]))
        if parts[:2] == ["schemas", "guids"]:
            found = [n for n in self._schemas if str(self.guid(n)) == parts[2]]
            return self._schemas[found[0]] if found else None
        if parts[0] == "subjects" and parts[2:3] == ["versions"]:
            versions = self._subjects.get(parts[1], [])
            number = versions[-1 if parts[3] in ("latest", "-1") else int(parts[3]) - 1]
            return self._answer(parts[1], number)
        return None

    def post(self, path: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a POST: a schema is registered, or looked up, under a subject."""
        subject = unquote(path.split("?")[0].strip("/").split("/")[1])
        return self._answer(subject, self.register(subject, schema))

    def _answer(self, subject: str, number: int) -> dict[str, Any]:
        version = self._subjects[subject].index(number) + 1
        place = {"subject": subject, "version": version, "id": number}
        return {**place, "guid": str(self.guid(number)), **self._schemas[number]}


@contextmanager
def schema_registry() -> Iterator[Registry]:
    """Serve a registry on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            registry.asked.append(self.path)
            registry.headers.append(dict(self.headers))
            self._answer(registry.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(registry.post(self.path, json.loads(body)))

        def _answer(self, found: Mapping[str, Any] | list[str] | None) -> None:
            status = registry.status or (200 if found is not None else 404)
            if registry.elsewhere is not None:
                status = 302
            wanted = registry.authorization
            if wanted is not None and self.headers["Authorization"] != wanted:
                status = 401
            answer = found if status == 200 else {"error_code": status * 100 + 3, "message": "no"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            if registry.elsewhere is not None:
                self.send_header("Location", registry.elsewhere)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry = Registry(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
