"""Siblings of one run, recorded at the same time: exactly one of them finds that all are closed, and goes on.

    answered --plans--> planned --locks the run--> locked --reads--> committing --commits--> recorded

A record decides on what its plan saw; where the run has moved on since, it only notes that an advance is due. The
run's lock is a statement of its own: what the next statement reads is read under it. Where one statement does both,
its snapshot is older than its lock. A process that is frozen keeps its lock until the server ends its idle
transaction; later its lease is over, and another one takes its step. The sweeper that finds forgotten runs is left
out: the join must hold without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move, replaced

_LOCKING = frozenset({"locked", "committing"})


class Sibling(NamedTuple):
    """A step, and the process that records it: how many closed siblings its plan and its transaction have seen."""

    doing: str = "answered"
    closed: bool = False
    planned: int = 0
    seen: int = 0
    frozen: bool = False


class State(NamedTuple):
    """A run with its open steps. Its version counts the steps that were closed."""

    siblings: tuple[Sibling, ...]
    faults: int
    is_due: bool = False
    went_on: int = 0

    @property
    def version(self) -> int:
        """How many siblings are closed by now."""
        return sum(each.closed for each in self.siblings)

    @property
    def is_locked(self) -> bool:
        """True while a transaction holds the run."""
        return any(each.doing in _LOCKING for each in self.siblings)


@dataclass(frozen=True)
class Guards:
    """Rules of Record and Continuation."""

    run_lock: bool = True  # Record: lock the run by a statement of its own
    version: bool = True  # Continuation: if the version moved, record alone
    due: bool = True  # Record: the outcome is recorded whatever happens to the decision: `advance_due_at`
    idle_timeout: bool = True  # `idle_in_transaction_session_timeout` on every connection


@dataclass(frozen=True)
class JoinMachine:
    """As many siblings as processes."""

    processes: int = 2
    faults: int = 3
    guards: Guards = Guards()

    def start(self) -> State:
        """Return siblings whose calls were all answered."""
        return State((Sibling(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that the siblings' processes and faults may do."""
        for place, sibling in enumerate(state.siblings):
            if sibling.frozen:
                yield from self._outlive(state, place, sibling)
            else:
                yield from self._record(state, place, sibling)
                yield from _strike(state, place, sibling)
        if state.is_due and not state.is_locked:
            is_last = state.version == len(state.siblings) and not state.went_on
            yield Move("the run is advanced", state._replace(is_due=False, went_on=state.went_on + is_last))

    def _outlive(self, state: State, place: int, sibling: Sibling) -> Iterator[Move]:
        """What others do about a frozen process; what it does when it thaws, the fence refuses."""
        if sibling.doing not in _LOCKING:
            taken = _with(state, place, doing="answered", frozen=False)
            yield Move(f"the lease of step {place} ends, another process takes it", taken)
        elif self.guards.idle_timeout:
            yield Move(f"the server ends step {place}'s idle transaction", _with(state, place, doing="answered"))

    def _record(self, state: State, place: int, sibling: Sibling) -> Iterator[Move]:
        own = f"step {place}"
        match sibling.doing:
            case "answered" if sibling.closed:
                yield Move(f"{own} is read again: it is recorded", _with(state, place, doing="recorded"))
            case "answered":
                yield Move(f"{own} plans", _with(state, place, doing="planned", planned=state.version))
            case "planned" if not self.guards.run_lock:
                yield Move(f"{own} takes its snapshot", _with(state, place, doing="reading", seen=state.version))
            case "planned" if not state.is_locked:
                yield Move(f"{own} locks the run", _with(state, place, doing="locked"))
            case "locked":
                yield Move(f"{own} reads the run", _with(state, place, doing="committing", seen=state.version))
            case "reading" if not state.is_locked:
                yield Move(f"{own} gets the lock", _with(state, place, doing="committing"))
            case "committing":
                yield from self._commit(state, place, sibling)

    def _commit(self, state: State, place: int, sibling: Sibling) -> Iterator[Move]:
        written = self._decided(state, sibling)
        done = _with(written, place, doing="recorded", closed=True)
        yield Move(f"step {place} is recorded, having seen {sibling.seen} closed", done)
        if state.faults:
            lost = _with(written, place, doing="answered", closed=True)._replace(faults=state.faults - 1)
            yield Move(f"step {place} is recorded, and its answer lost", lost, is_fault=True)

    def _decided(self, state: State, sibling: Sibling) -> State:
        if sibling.planned != sibling.seen and self.guards.version:
            return state._replace(is_due=self.guards.due)
        is_last = sibling.planned == len(state.siblings) - 1
        return state._replace(went_on=state.went_on + is_last)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: the run goes on twice."""
        return "the run went on twice" if state.went_on > 1 else None

    def is_end(self, state: State) -> bool:
        """Answer whether the run has gone on."""
        return state.went_on == 1


def _strike(state: State, place: int, sibling: Sibling) -> Iterator[Move]:
    if not state.faults or sibling.doing in {"answered", "recorded"}:
        return
    left = state._replace(faults=state.faults - 1)
    name = f"the process of step {place} ({sibling.doing})"
    # A transaction that is not committed is gone, and with it its lock.
    yield Move(f"{name} is killed", _with(left, place, doing="answered"), is_fault=True)
    yield Move(f"{name} is frozen", _with(left, place, frozen=True), is_fault=True)


def _with(state: State, place: int, **changes: object) -> State:
    return state._replace(siblings=replaced(state.siblings, place, **changes))
