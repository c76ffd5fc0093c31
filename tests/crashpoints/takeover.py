"""What happens once victims are struck: their worker's main process and a sibling of theirs bring all to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Engine

from tests.crashpoints.children import Child, Stuck, fork
from tests.crashpoints.rest import Restless, moving
from tests.crashpoints.scenarios import SCENARIOS, Act
from tests.crashpoints.victims import Case, Played
from tests.crashpoints.worker import Worker

# A few leases, the pauses between tries, and a busy machine.
REST_WITHIN_S = 60.0
_BEAT_S = 1.0
_PAUSE_S = 0.05


class TakeOver:
    """Of one group of victims. This process is their worker's main process: it beats, reports its dead, sweeps."""

    def __init__(self, worker: Worker, engine: Engine, broker: redis.Redis, folder: Path) -> None:
        self._worker, self._engine, self._broker, self._folder = worker, engine, broker, folder
        self._sweeper = worker.sweeper()
        self._played: Sequence[Played] = ()
        self._sibling: Child

    def finish(self, played: Sequence[Played]) -> None:
        """Bring everything to rest; then thaw who is frozen, wait for their end, and bring it to rest again."""
        self._played, self._sibling = played, self._serve()
        try:
            self._ask_again([each for each in played if SCENARIOS[each.case.scenario].again is not None])
            self._come_to_rest()
            if frozen := [each for each in played if each.victim.is_alive]:
                _thaw(frozen)
                self._come_to_rest()
        finally:
            for child in (self._sibling, *(each.victim for each in played)):
                child.kill()
        for each in played:
            each.accepted += _accepted(each)

    def _ask_again(self, unanswered: Sequence[Played]) -> None:
        """Do again what whoever was not answered does."""
        if not unanswered:
            return

        def ask() -> list[Any]:
            return [_again(each.case)(self._worker, each.prepared)() for each in unanswered]

        child = fork(ask, self._folder / "again.json")
        child.wait("ended", timeout_s=60)
        answers = child.answer()
        assert answers is not None, child.output()
        for each, answer in zip(unanswered, answers, strict=True):
            each.accepted += [answer] if answer is not None else []

    def _come_to_rest(self) -> None:
        end = time.monotonic() + REST_WITHIN_S
        pause, next_beat = threading.Event(), 0.0
        while still := moving(self._engine, self._broker, self._worker.queues):
            if time.monotonic() > end:
                _blame(self._played, still, self._sibling.output())
                return
            if time.monotonic() > next_beat:
                self._worker.beat()
                next_beat = time.monotonic() + _BEAT_S
            self._mend()
            pause.wait(_PAUSE_S)

    def _mend(self) -> None:
        if not self._sibling.is_alive:
            # Its own timer ends a child whose step took too long; the pool starts another.
            self._sibling = self._serve()
        self._sweeper.report_dead_children(self._live_pids)
        self._sweeper.sweep()

    def _live_pids(self) -> list[int]:
        children = [self._sibling, *(each.victim for each in self._played)]
        return [child.pid for child in children if child.is_alive]

    def _serve(self) -> Child:
        def serve() -> None:
            self._worker.become_child()
            self._worker.serve()

        return fork(serve, self._folder / "sibling.json")


def _thaw(frozen: Sequence[Played]) -> None:
    for each in frozen:
        each.victim.thaw()
    for each in frozen:
        try:
            each.victim.wait("killed", "ended")
        except Stuck as stuck:
            each.wrong.append(f"it came to no end after it was thawed: {stuck}")
        each.ended_at = time.time()


def _again(case: Case) -> Act:
    again = SCENARIOS[case.scenario].again
    assert again is not None
    return again


def _accepted(played: Played) -> list[str]:
    """Return the runs that whoever submitted them was told of."""
    prepared = played.prepared if isinstance(played.prepared, list) else [played.prepared]
    return [each for each in [*prepared, played.victim.answer()] if isinstance(each, str)]


def _blame(played: Sequence[Played], still: Sequence[Restless], output: str) -> None:
    """Write what did not come to rest down at the case that it belongs to; at all of them where that is not known."""
    for restless in still:
        owners = [each for each in played if each.item in restless.owner]
        for each in owners or played:
            each.wrong.append(f"not at rest after {REST_WITHIN_S:g} s: {restless.what}; {output[-500:]}")
