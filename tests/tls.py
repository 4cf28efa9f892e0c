"""Certificates that tests make for themselves, and servers that show them."""

import ssl
import subprocess
from pathlib import Path


def make_certificate(folder: Path, names: str = "IP:127.0.0.1") -> Path:
    """Return a file with a certificate, by default of 127.0.0.1, its own authority, and its key."""
    file, key, certificate = (folder / f"{names[-9:]}.{part}" for part in ("pem", "key", "crt"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(key.read_text() + certificate.read_text())
    return file


def serving(certificate: Path, *, mutual: bool = False) -> ssl.SSLContext:
    """Return the context of a server with that certificate; `mutual` wants the same of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)
    return context
