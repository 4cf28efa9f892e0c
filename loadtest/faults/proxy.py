"""A TCP proxy on loopback that can be cut, and slowed down."""

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_BLOCK = 65_536
_TICK = 0.05


class Proxy:
    """Forwards connections to `target_port`, on a thread of its own.

    While it is `cut`, bytes are swallowed and connections are taken without an answer, as
    when a cable is pulled: nobody is told. `delay` is in seconds per block of bytes, each way;
    `rate` are the bytes a second that each connection gets through to the target.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self.delay = 0.0
        self.rate: float | None = None
        self._cut = False
        self._streams: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Let nothing through any more."""
        self._cut = True

    def mend(self) -> None:
        """Let new connections through; those there were are reset, as bytes of them are lost."""
        self._cut = False
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        for stream in self._streams:
            stream.transport.abort()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        self._reset()
        await asyncio.sleep(0.1)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        try:
            while self._cut and not writer.is_closing():
                await asyncio.sleep(0.1)
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            self._streams.discard(writer)
            writer.transport.abort()
            return
        self._streams.add(back)
        await asyncio.gather(self._pass(reader, back, up=True), self._pass(there, writer, up=False))
        for stream in (writer, back):
            self._streams.discard(stream)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        with suppress(OSError):
            while block := await reader.read(_BLOCK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if up:
                    await self._hold_up(len(block))
                if not self._cut:
                    writer.write(block)
                    await writer.drain()
        with suppress(OSError):
            writer.close()

    async def _hold_up(self, size: int) -> None:
        """Return when so many bytes may have passed, or at once where the limit is lifted."""
        left = float(size)
        while (rate := self.rate) is not None and left > 0:
            seconds = min(_TICK, left / rate)
            await asyncio.sleep(seconds)
            left -= rate * seconds
