"""Owns an attempt: the production executor on a thread of its own, which runs only while the machine waits for it.

Where its worker continues runs, it goes on from step to step, each under a claim and a lease of its own.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace

from agentflow.domain.claim import Claim
from agentflow.domain.identity import Worker
from agentflow.domain.outcome import AttemptOutcome
from agentflow.domain.step import Effect
from agentflow.engine.deadman import TIMER_MARGIN_S
from agentflow.engine.executor import advance, execute_step
from agentflow.engine.runtime import Runtime
from agentflow.testing.crashes import SimulatedCrash

BEFORE_THE_CALL = ("before_claim", "after_claim", "before_call")
AFTER_THE_CALL = ("after_call", "before_continue", "after_continue", "before_record", "after_record")
# Those between the begin and the commit of a transactional step's record.
_INSIDE_THE_RECORD = ("after_call", "before_continue", "after_continue")
POINTS = (*BEFORE_THE_CALL, *AFTER_THE_CALL)
_PATIENCE_S = 30.0
_pids = itertools.count(100_000)


class Attempt:
    """One hint in one process's hands. It stands at a point of its way, has ended, or its process is dead.

    A hint without a step asks for a decision; its process may go on with what that leads to.
    """

    def __init__(self, runtime: Runtime, run_id: str, step_index: int | None) -> None:
        self.pid = next(_pids)
        self.worker_id, self.isolated = runtime.worker.worker_id, runtime.isolated
        self.run_id, self.step_index = run_id, step_index
        self.claim: Claim | None = None
        self.claimed_at = 0.0
        self._recorded_at = 0.0
        self.point = ""
        self.is_over = False
        self._runtime = replace(runtime, worker=Worker(self.worker_id, self.pid), reached=self._reach)
        self._stop_at: str | None = None
        self._crash_at: str | None = None
        self._broken: BaseException | None = None
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._clock: Callable[[], float] = lambda: 0.0

    def begin(self, clock: Callable[[], float], *, stop_at: str | None, crash_at: str | None) -> None:
        """Go its way until a point, where it stops or crashes, or to its end."""
        self._clock = clock
        self._stop_at, self._crash_at = stop_at, crash_at
        self._thread.start()
        self._wait()

    def go_on(self, *, stop_at: str | None = None, crash_at: str | None = None) -> None:
        """Go on from where it stands. A process whose dead man's timer ran out meanwhile is dead before its call."""
        self._stop_at, self._crash_at = stop_at, crash_at
        if self.is_past_its_lease and self.point in BEFORE_THE_CALL:
            self._crash_at = self.point
        self._mine.release()
        self._wait()

    def crash(self) -> None:
        """Die where it stands."""
        self._crash_at = self.point
        self._mine.release()
        self._wait()

    @property
    def is_past_its_lease(self) -> bool:
        """True once its dead man's timer has run out."""
        if self.claim is None or not self.isolated:
            return False
        lease_s = (self.claim.lease_until - self.claim.claimed_at).total_seconds()
        return self._clock() - self.claimed_at >= lease_s - TIMER_MARGIN_S

    def _reach(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        self.point = point
        if claim is not None and (self.claim is None or claim.token != self.claim.token):
            self._take(claim)
        if point == self._stop_at and self._may_stop:
            self._stop_at = None
            self._theirs.release()
            self._mine.acquire()
        if point == self._crash_at:
            raise SimulatedCrash(point)
        if point == "before_record":
            self._recorded_at = self._clock()

    def _take(self, claim: Claim) -> None:
        # What is continued was claimed by the record before it: its timer counts from there, and may fire at once.
        is_continued = self.claim is not None
        self.claimed_at = self._recorded_at if is_continued else self._clock()
        self.claim = claim
        if is_continued and self.is_past_its_lease:
            raise SimulatedCrash(self.point)

    @property
    def _may_stop(self) -> bool:
        # Inside the recording transaction a stop would hold its locks; a server ends such a one by itself.
        is_inside = self.claim is not None and self.claim.step.effect is Effect.TRANSACTIONAL
        return not (is_inside and self.point in _INSIDE_THE_RECORD)

    def _run(self) -> None:
        try:
            if self.step_index is None:
                advance(self._runtime, self.run_id)
            else:
                execute_step(self._runtime, self.run_id, self.step_index)
        except SimulatedCrash:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the machine can see it
            self._broken = error
        finally:
            self.is_over = True
            self._theirs.release()

    def _wait(self) -> None:
        assert self._theirs.acquire(timeout=_PATIENCE_S), f"nothing came of {self.point}"
        if self._broken is not None:
            raise self._broken
