"""Owns the one address that all workers know of models: it hands each request on to the server of the model asked for.

What that server says goes back byte for byte, cut off, late or malformed as it may be. One request per connection, and
each takes some time, as models do: whoever is killed shall be in the middle of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65_536
_OTHERS = "*"
_SLOWEST_S = 0.6
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEPT_OPEN = re.compile(rb"\r\nconnection: *[^\r]*", re.IGNORECASE)


class ModelFront:
    """Serves on a thread of its own until the end of the `with` block. `servers` are URLs by model, `*` for others."""

    def __init__(self, servers: Mapping[str, str], seed: int = 0) -> None:
        self._draw = random.Random(seed)
        self._servers = {name: urlsplit(url) for name, url in servers.items()}
        self._opened: Future[int] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="model-front", daemon=True)
        self._over = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.result(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=10)

    @property
    def base_url(self) -> str:
        """What AGENTFLOW_LLM_BASE_URL has to be."""
        return f"http://{_HOST}:{self._opened.result()}/v1"

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_over())

    async def _until_over(self) -> None:
        server = await asyncio.start_server(self._visit, _HOST, 0)
        self._opened.set_result(server.sockets[0].getsockname()[1])
        await self._over.wait()
        server.close()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled at the end of the front; asyncio would complain of a visit that ends so.
        gone = OSError, asyncio.IncompleteReadError, asyncio.CancelledError
        with contextlib.suppress(*gone), contextlib.closing(writer):
            head, body = await _request(reader)
            address = self._server_of(body)
            await asyncio.sleep(self._draw.uniform(0.0, _SLOWEST_S))
            server_reader, server_writer = await asyncio.open_connection(address.hostname, address.port)
            with contextlib.closing(server_writer):
                server_writer.write(head + body)
                while said := await server_reader.read(_CHUNK_BYTES):
                    writer.write(said)
                    await writer.drain()

    def _server_of(self, body: bytes) -> object:
        model = json.loads(body).get("model")
        return self._servers.get(model, self._servers[_OTHERS])


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return _KEPT_OPEN.sub(b"", head).removesuffix(b"\r\n") + b"connection: close\r\n\r\n", body
