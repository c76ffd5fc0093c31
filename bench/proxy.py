"""Owns a proxy before Postgres that hands every byte on, and counts what goes through."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from agentflow.ports import HOST, free_port
from bench.trips import ConnectionTrips, Trips

_CHUNK = 65_536
_ASKS_FOR_ENCRYPTION = {80877103, 80877104}
_LENGTH = 4


class Proxy:
    """A door to a server at another port; all that goes through it is counted."""

    def __init__(self, database_url: str) -> None:
        self._to = urlsplit(database_url)
        self._port = free_port()
        self._counted = Trips()
        self._loop = asyncio.new_event_loop()
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trips", daemon=True)

    @property
    def url(self) -> str:
        """The server's URL, by way of this proxy."""
        place = self._to.netloc.rpartition("@")[0]
        return self._to._replace(netloc=f"{place}@{HOST}:{self._port}").geturl()

    @property
    def trips(self) -> Trips:
        """What went through so far."""
        return replace(self._counted)

    def start(self) -> None:
        """Listen, on a thread of its own."""
        self._thread.start()
        if not self._open.wait(10):
            raise TimeoutError("the counting proxy does not listen")

    def close(self) -> None:
        """End, with every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, HOST, self._port))
        self._open.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled where the proxy ends before the connection does: no error, though the event loop takes it for one.
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            hello = await _hello(reader, writer)
            answers, server = await asyncio.open_connection(self._to.hostname, self._to.port)
            with closing(server):
                server.write(hello)
                connection = ConnectionTrips(self._counted)
                asking = asyncio.ensure_future(_hand_on(reader, server, connection.ask))
                answering = asyncio.ensure_future(_hand_on(answers, writer, connection.answer))
                _, other = await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
                for task in other:
                    task.cancel()


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the first message, the only one without a kind; encryption, which nobody could read, is declined."""
    while True:
        length = await reader.readexactly(_LENGTH)
        body = await reader.readexactly(int.from_bytes(length, "big") - _LENGTH)
        if int.from_bytes(body[:_LENGTH], "big") not in _ASKS_FOR_ENCRYPTION:
            return length + body
        writer.write(b"N")


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Callable[[bytes], None]) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            read(data)
            writer.write(data)
            await writer.drain()


@contextmanager
def counting(database_url: str) -> Iterator[Proxy]:
    """Open a counting door to a database for as long as the block takes."""
    proxy = Proxy(database_url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
