"""Judging who is dead by their heartbeats, through an outage of the database.

Time passes in ticks. A worker that lives beats in each tick in which the database is there; one beat that comes after
a gap breaks its own record as a judge. A judge calls a worker dead whose last beat is old, if its own were unbroken
for as long. All times are the database's: a worker that has not beaten since an outage does not know of it.

Between two outages there is time for everybody to beat: a database that is there for less than a beat, and away again,
may make a live worker look dead. That costs a repeat of what may be repeated, by the classes' table, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move, replaced

# In ticks, and as production has them: a gap and a beat together are no longer than a death.
BEAT = 1
GAP = 2
DEAD = 3
_LONG = DEAD + 1


class Worker(NamedTuple):
    """A row of the register: the age of its last beat, and for how long there was no gap. Both stop at `_LONG`."""

    lives: bool = True
    age: int = 0
    unbroken: int = 0
    judged: bool = False


class State(NamedTuple):
    """The register, and whether the database is there."""

    workers: tuple[Worker, ...]
    faults: int
    is_up: bool = True


@dataclass(frozen=True)
class Guards:
    """Rules of Sweeper: dead is whose heartbeat is old while the judge's own has been unbroken for as long."""

    unbroken: bool = True
    fresh_beat: bool = True  # unbroken up to now: the judge has beaten since


@dataclass(frozen=True)
class HeartbeatMachine:
    """As many workers as processes, each of them a judge."""

    processes: int = 2
    faults: int = 3
    guards: Guards = Guards()

    def start(self) -> State:
        """Return workers that have just been registered."""
        return State((Worker(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that time, workers and faults may do."""
        is_time = not state.is_up or all(worker.age < BEAT for worker in state.workers if worker.lives)
        if is_time:
            yield Move("a tick passes", _sorted(state, tuple(_older(worker) for worker in state.workers)))
        for place, worker in enumerate(state.workers):
            if state.is_up and worker.lives:
                if worker.age:
                    yield Move(f"a worker beats after {worker.age} ticks", _beat(state, place, worker))
                yield from self._judge(state, place)
        yield from _strike(state)

    def _judge(self, state: State, judge: int) -> Iterator[Move]:
        if self.guards.unbroken and state.workers[judge].unbroken <= DEAD:
            return
        if self.guards.fresh_beat and state.workers[judge].age > GAP:
            return
        for place, worker in enumerate(state.workers):
            if place != judge and worker.age > DEAD and not worker.judged:
                judged = _sorted(state, replaced(state.workers, place, judged=True))
                yield Move("a worker is judged dead by its old heartbeat", judged)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: somebody who beats whenever that is possible is judged dead."""
        return "a live worker is judged dead" if any(each.judged and each.lives for each in state.workers) else None

    def is_end(self, state: State) -> bool:
        """Answer whether all who are dead are known to be."""
        return state.is_up and all(each.judged for each in state.workers if not each.lives)


def _strike(state: State) -> Iterator[Move]:
    if not state.is_up:
        yield Move("the database comes back", state._replace(is_up=True))
    elif state.faults and all(each.age <= BEAT for each in state.workers if each.lives):
        yield Move("the database goes away", state._replace(is_up=False, faults=state.faults - 1), is_fault=True)
    alive = [place for place, worker in enumerate(state.workers) if worker.lives]
    for place in alive:
        # The last one is not killed: somebody has to be there to judge.
        if state.faults and len(alive) > 1:
            killed = _sorted(state, replaced(state.workers, place, lives=False))
            yield Move("a worker is killed", killed._replace(faults=state.faults - 1), is_fault=True)


def _older(worker: Worker) -> Worker:
    return worker._replace(age=min(_LONG, worker.age + 1), unbroken=min(_LONG, worker.unbroken + 1))


def _beat(state: State, place: int, worker: Worker) -> State:
    unbroken = 0 if worker.age > GAP else worker.unbroken
    return _sorted(state, replaced(state.workers, place, age=0, unbroken=unbroken))


def _sorted(state: State, workers: tuple[Worker, ...]) -> State:
    return state._replace(workers=tuple(sorted(workers)))
