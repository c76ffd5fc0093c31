"""Owns a line to a Valkey that breaks on order: before it has carried a question, or within its answer."""

from __future__ import annotations

import socket
import threading
from collections import deque
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65_536


class Line:
    """A door of its own to a server. `asked` counts what was sent through it at once."""

    def __init__(self, redis_url: str) -> None:
        server = urlsplit(redis_url)
        self._server = (server.hostname, server.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._breaks: deque[int | None] = deque()
        self.url = redis_url.replace(f":{server.port}/", f":{self._listening.getsockname()[1]}/")
        self.asked = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def break_at_next(self, *passing: int | None) -> None:
        """Break at each of the next questions: behind so many bytes of the answer; None before the question passes."""
        self._breaks.extend(passing)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=[caller], daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(self._server) as server:
            while question := caller.recv(_CHUNK):
                is_script = b"EVALSHA" in question
                self.asked += is_script
                passing = self._breaks.popleft() if is_script and self._breaks else _CHUNK
                if passing is None:
                    return
                server.sendall(question)
                # What was asked at once is answered at once, and is short.
                caller.sendall(server.recv(_CHUNK)[:passing])
                if passing < _CHUNK:
                    return
