"""The watch: one thread in a worker's main process that beats, reports dead children and sweeps.

It has a thread and a database of its own, never Celery's event loop: a database that hangs must not silence the worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import structlog

from agentflow.engine.registration import Registration
from agentflow.engine.sweeper import DEAD_S, GAP_S, Sweeper
from agentflow.store import workers
from agentflow.store.database import Database

log = structlog.get_logger("agentflow.watch")

TICK_S = 1.0
BEAT_S = 2.0
# So much after a moment the sweep that was waiting for it begins: then it is due on the database's clock too.
_ON_TIME_S = 0.01


class Watch:
    """One worker's watch; `start`, `stop`, and `later` for work that must not run on Celery's event loop."""

    def __init__(
        self, database: Database, registration: Registration, sweeper: Sweeper, live_pids: Callable[[], Sequence[int]]
    ) -> None:
        self._database = database
        self._registration = registration
        self._sweeper = sweeper
        self._live_pids = live_pids
        self._stopped = threading.Event()
        self._errands: SimpleQueue[Callable[[Database], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="agentflow-watch", daemon=True)
        self._woken = threading.Event()
        self._next_beat = self._next_sweep = 0.0
        self.draining = False

    def start(self) -> None:
        """Register the worker and start to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and say that the worker ended by itself."""
        self._stopped.set()
        self._woken.set()
        self._thread.join(timeout=10)
        self._quietly(lambda: self._database.atomically(lambda tx: workers.stop(tx, self._registration.worker_id)))

    def later(self, errand: Callable[[Database], None]) -> None:
        """Do something soon, on the watch's thread."""
        self._errands.put(errand)
        self._woken.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if time.monotonic() >= self._next_beat:
                self._next_beat = time.monotonic() + BEAT_S
                self._quietly(self._beat)
            self._quietly(self._run_errands)
            if time.monotonic() >= self._next_sweep:
                self._next_sweep = time.monotonic() + TICK_S
                self._quietly(self._sweep)
            self._woken.wait(max(0.0, min(self._next_beat, self._next_sweep) - time.monotonic()))
            self._woken.clear()

    def _beat(self) -> None:
        beat = self._database.glance(
            lambda tx: workers.beat(tx, self._registration.worker_id, gap_s=GAP_S, draining=self.draining)
        )
        answered_at = time.monotonic()
        if beat is None:
            self._registration.write(self._database)
        elif beat.has_turn:
            self._next_sweep = min(self._next_sweep, answered_at + TICK_S)
        else:
            # Its holder goes on in time, or this worker is there when the lease ends.
            self._next_sweep = answered_at + max(0.0, beat.turn_ends_in_s or 0.0) + _ON_TIME_S
        if beat is None or beat.has_claims:
            self._sweeper.report_dead_children(self._live_pids)

    def _sweep(self) -> None:
        began = time.monotonic()
        if not self._sweeper.sweep():
            # The next beat tells when whoever has the turn may have lost it.
            self._next_sweep = float("inf")
        elif self._sweeper.next_at is not None:
            self._next_sweep = min(began + TICK_S, self._sweeper.next_at + _ON_TIME_S)

    def _run_errands(self) -> None:
        while True:
            try:
                errand = self._errands.get_nowait()
            except Empty:
                return
            errand(self._database)

    def _quietly(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever fails, the next tick must come
            log.warning("watch_failed", error=f"{type(error).__name__}: {error}".split("\n")[0], dead_after_s=DEAD_S)
