"""The end of a worker that can't finish in time: its processes are killed, its steps given back, and it is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from agentflow.engine.sweeper import Sweeper
from agentflow.engine.watch import Watch
from agentflow.policy.recovery import Evidence
from agentflow.store import workers
from agentflow.store.database import Database

log = structlog.get_logger("agentflow.worker")

_POLL_S = 0.02
_DEATH_S = 5.0


class Leaving:
    """One worker's way out: what runs may finish for a while, then the worker leaves without it.

    Steps that may be repeated on that word run elsewhere at once; the others are seen to when their leases are over.
    """

    def __init__(self, watch: Watch, sweeper: Sweeper, worker_id: str, live_pids: Callable[[], Sequence[int]]) -> None:
        self._watch = watch
        self._sweeper = sweeper
        self._worker_id = worker_id
        self._live_pids = live_pids
        self._begun = False

    def begin(self, after_s: float) -> None:
        """Begin nothing new, and leave after so long, on the watch's thread. A second call changes nothing."""
        self._watch.draining = True
        if self._begun:
            return
        self._begun = True
        timer = threading.Timer(after_s, self._watch.later, [self._leave])
        timer.daemon = True
        timer.start()

    def _leave(self, database: Database) -> None:
        try:
            self._kill_children()
            self._sweeper.report_dead_children(list, Evidence.RELEASED)
            database.atomically(lambda tx: workers.stop(tx, self._worker_id))
            log.warning("left_in_the_middle", worker_id=self._worker_id)
        finally:
            # A pool waits for its threads, and for what its processes were at, however long.
            os._exit(0)

    def _kill_children(self) -> None:
        """Kill the pool's processes and wait for their end; threads end with this process."""
        deadline = time.monotonic() + _DEATH_S
        while children := [pid for pid in self._live_pids() if pid != os.getpid()]:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {children} do not die")
            threading.Event().wait(_POLL_S)
