"""When the workers have registered, so that a run submitted now is served at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from agentflow.domain.errors import AgentflowError
from agentflow.engine.sweeper import DEAD_S
from agentflow.ports import answers
from agentflow.store import workers
from agentflow.store.database import Database

_POLL_S = 0.1
_LONGEST_S = 60.0


def call_when_ready(
    database: Database, pids: Callable[[], Collection[int]], port: Callable[[], int | None], ready: Callable[[], None]
) -> None:
    """Call `ready`, on another thread, once workers of these pids are registered and the port answers."""

    def wait() -> None:
        end, pause = time.monotonic() + _LONGEST_S, threading.Event()
        while time.monotonic() < end:
            if _registered(database, pids()) and _answers(port()):
                ready()
                break
            pause.wait(_POLL_S)
        database.close()

    threading.Thread(target=wait, name="readiness", daemon=True).start()


def _answers(port: int | None) -> bool:
    return port is None or answers(port)


def _registered(database: Database, pids: Collection[int]) -> bool:
    try:
        with database.transaction() as tx:
            return set(pids) <= {worker["pid"] for worker in workers.alive(tx, DEAD_S)}
    except AgentflowError:
        return False
