"""Requests a second that a running gateway takes, and how long its answers take.

    streamdrift gateway --set kafka.bootstrap_servers=localhost:9092 --set gateway.topic=load
    python -m loadtest.gateway --port 8411 --connections 32 --bytes 300 --seconds 10

Each connection posts one event after the other. With large bodies, and the brokers stopped, it
shows what is refused; the gateway's memory is read from its own process.
"""

import argparse
import asyncio
import time
from collections import Counter
from contextlib import suppress

_HEAD = (
    "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    "ce-specversion: 1.0\r\nce-id: {name}\r\nce-source: /load\r\nce-type: com.example.request\r\n"
    "content-length: {size}\r\n\r\n"
)
_REST = 0.01
"""Seconds after an answer that is no success."""


async def _answer(reader: asyncio.StreamReader) -> str:
    """Return the status of the next answer."""
    status = (await reader.readline()).split(b" ")[1].decode()
    length = 0
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    return status


async def _post(
    port: int, request: bytes, end: float, answers: Counter[str], seconds: list[float]
) -> None:
    """Post until the time is over, on a new connection where one was closed."""
    while time.monotonic() < end:
        with suppress(OSError, IndexError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < end:
                start = time.monotonic()
                writer.write(request)
                await writer.drain()
                status = await _answer(reader)
                seconds.append(time.monotonic() - start)
                answers[status] += 1
                await asyncio.sleep(0 if status == "202" else _REST)
            writer.close()


async def _load(port: int, connections: int, size: int, lasting: float) -> None:
    answers: Counter[str] = Counter()
    seconds: list[float] = []
    end = time.monotonic() + lasting
    requests = [_HEAD.format(name=name, size=size).encode() for name in range(connections)]
    body = b"x" * size
    await asyncio.gather(
        *(_post(port, request + body, end, answers, seconds) for request in requests)
    )
    seconds.sort()
    shown = ", ".join(f"{status}: {count:,}" for status, count in answers.most_common())
    print(f"answers: {shown}")
    if seconds:
        half, most = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
        rate = len(seconds) / lasting
        print(f"{rate:,.0f} a second; median {half * 1e3:.0f} ms, 99 % {most * 1e3:.0f} ms")


def main() -> None:
    """Load a gateway, and print what it answered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8411)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--bytes", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    asyncio.run(_load(given.port, given.connections, given.bytes, given.seconds))


if __name__ == "__main__":
    main()
