"""The event loop of this process, and the vendors' clients that live on it.

Vendors' clients are asynchronous and bound to one loop; agentflow is synchronous, in many threads and in processes
that fork. So each process runs one loop in a thread of its own, from its first model call until it ends, and every
thread sends its calls there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_S = 2.0
"""How long the loop may take beyond a call's timeout to say so itself."""


class Connections:
    """One loop, one thread, one client per key."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._clients: dict[Hashable, Any] = {}
        self._opening = threading.Lock()
        threading.Thread(target=self._loop.run_forever, name="agentflow-llm", daemon=True).start()

    def client(self, key: Hashable, open_client: Callable[[], T]) -> T:
        """The client of this key, opened at its first use."""
        with self._opening:
            if key not in self._clients:
                self._clients[key] = open_client()
            found: T = self._clients[key]
            return found

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run a call on the loop and wait for it; raise TimeoutError when it takes longer."""
        future = asyncio.run_coroutine_threadsafe(_within(work, timeout_s), self._loop)
        try:
            return future.result(timeout_s + GRACE_S)
        except BaseException:
            # Whatever woke this thread (a soft time limit, say), the call must not go on behind its back.
            future.cancel()
            raise


async def _within(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    async with asyncio.timeout(timeout_s):
        return await work


class _Process:
    """Holds the connections of this process; a fork leaves the parent's behind."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connections: Connections | None = None
        self.inherited: list[Connections] = []

    def forget(self) -> None:
        # Kept, not closed: closing would take the parent's sockets out of the epoll set that both share.
        if self.connections is not None:
            self.inherited.append(self.connections)
        self.lock, self.connections = threading.Lock(), None


_process = _Process()
os.register_at_fork(after_in_child=_process.forget)


def current_connections() -> Connections:
    """The connections of this process, opened at the first call after the start or the fork."""
    with _process.lock:
        if _process.connections is None:
            _process.connections = Connections()
        return _process.connections
