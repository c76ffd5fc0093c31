"""Owns one door of the proxy: the connections that pass through it, and what it does to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

HOST = "127.0.0.1"
_CHUNK_BYTES = 65_536
_BACKLOG = 256
_AT_ONCE = struct.pack("ii", 1, 0)


class Door:
    """One server's door."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        # Bound and never listening: it keeps the port ours while visitors are refused.
        self._reserved = _bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self._listening: asyncio.Server | None = None
        self._passable = asyncio.Event()
        self._delay_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    async def obey(self, order: str, by_s: float = 0.0) -> None:
        """Carry out an order; each takes the place of the one before."""
        self._delay_s = by_s if order == "delay" else 0.0
        if order in {"cut", "refuse"}:
            await self._close() if order == "refuse" else self._cut()
        if order != "refuse":
            await self._listen()
        if order == "hold":
            self._passable.clear()
        else:
            self._passable.set()

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await asyncio.start_server(self._visit, sock=_bound(self.port), backlog=_BACKLOG)

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._cut()

    def _cut(self) -> None:
        for writer in list(self._writers):
            # Reset, not closed: what is on its way is lost.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async with self._tended(writer):
                await self._passable.wait()
                server_reader, server_writer = await asyncio.open_connection(*self._server)
                async with self._tended(server_writer):
                    await self._carry_both(reader, writer, server_reader, server_writer)

    async def _carry_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        ways = {
            asyncio.create_task(self._carry(reader, server_writer)),
            asyncio.create_task(self._carry(server_reader, writer)),
        }
        # Where one side has hung up, the other has nothing left to say: neither protocol closes half a connection.
        _, open_ways = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in open_ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(_CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._passable.wait()
            writer.write(said)
            await writer.drain()

    @contextlib.asynccontextmanager
    async def _tended(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound
