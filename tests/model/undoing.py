"""Runs that use one business key of a `keyed` tool, of which some fail and undo what they did.

    due --takes the key--> claimed --calls, as key#generation--> called --records--> ok --> kept
    ok --its run fails--> undoing --calls the compensation--> undone there --records--> undone; the key is closed
    due --the key is another's, in flight or being undone--> parked;  done --> shared

A run that shared an answer before its owner failed keeps it: that the effect is undone later is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move, replaced

_FINAL = frozenset({"kept", "shared", "undone"})


class Run(NamedTuple):
    """A run, whether the key's record names it, and the generation that its step is sent under."""

    doing: str = "due"
    owns: bool = False
    generation: int = 0


class State(NamedTuple):
    """The runs, the record (`key`, its generation); what the other side has seen, and how often the effect is there."""

    runs: tuple[Run, ...]
    faults: int
    key: str = "free"
    generation: int = 1
    seen: frozenset[int] = frozenset()
    there: int = 0
    shared_nothing: bool = False


@dataclass(frozen=True)
class Guards:
    """Rules of Idempotency records."""

    generation: bool = True  # a compensated record is closed; the next use is sent outside as `key#2`
    same_generation: bool = True  # a later attempt of the same step takes over its own record
    held: bool = True  # what is being undone is no answer for others
    owner: bool = True  # only the run that owns an effect compensates it


@dataclass(frozen=True)
class UndoingMachine:
    """As many runs as processes."""

    processes: int = 2
    faults: int = 3
    guards: Guards = Guards()

    def start(self) -> State:
        """Return runs that all want the effect."""
        return State((Run(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that runs and faults may do."""
        for place, run in enumerate(state.runs):
            name = f"run {place}"
            match run.doing:
                case "due":
                    yield Move(f"{name} claims", self._claimed(state, place, run))
                case "claimed":
                    yield Move(f"{name} calls as key#{run.generation}", _called(state, place, run))
                case "called":
                    recorded = _with(state, place, doing="ok")._replace(key="done")
                    yield Move(f"{name} records ok", _woken(recorded))
                case "ok":
                    yield Move(f"{name} ends well", _with(state, place, doing="kept"))
                case "undoing":
                    yield Move(f"{name} undoes it", _with(state, place, doing="undone there")._replace(there=0))
                case "undone there":
                    yield Move(f"{name} records that it is undone", self._closed(state, place))
            yield from self._strike(state, place, run)

    def _claimed(self, state: State, place: int, run: Run) -> State:
        if run.owns and self.guards.same_generation:
            return _with(state, place, doing="claimed")
        if run.owns:
            newer = state.generation + 1
            return _with(state, place, doing="claimed", generation=newer)._replace(generation=newer)
        if state.key == "done":
            nothing = state.shared_nothing or not state.there
            return _with(state, place, doing="shared")._replace(shared_nothing=nothing)
        if state.key == "free":
            claimed = _with(state, place, doing="claimed", owns=True, generation=state.generation)
            return claimed._replace(key="in_flight")
        return _with(state, place, doing="parked")

    def _strike(self, state: State, place: int, run: Run) -> Iterator[Move]:
        may_undo = run.doing == "ok" or (run.doing == "shared" and not self.guards.owner)
        if may_undo:
            held = "compensating" if self.guards.held else state.key
            yield Move(f"run {place} fails", _with(state, place, doing="undoing")._replace(key=held), is_fault=True)
        if not state.faults:
            return
        left = state._replace(faults=state.faults - 1)
        if run.doing in {"claimed", "called"}:
            yield Move(f"run {place} is lost ({run.doing})", _with(left, place, doing="due"), is_fault=True)
        if run.doing == "undone there":
            yield Move(f"run {place} is lost ({run.doing})", _with(left, place, doing="undoing"), is_fault=True)

    def _closed(self, state: State, place: int) -> State:
        newer = state.generation + 1 if self.guards.generation else state.generation
        closed = _with(state, place, doing="undone", owns=False)._replace(key="free", generation=newer)
        return _woken(closed)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: the effect twice, or not there for a run that made it and ended well."""
        if state.there > 1:
            return "the effect happened twice"
        if state.shared_nothing:
            return "a run was given the answer of an effect that is undone"
        if not state.there and any(run.owns and run.doing in {"ok", "kept"} for run in state.runs):
            return "a run is ok, and its effect is missing"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether all runs ended."""
        return all(run.doing in _FINAL for run in state.runs)


def _called(state: State, place: int, run: Run) -> State:
    happens_now = run.generation not in state.seen
    called = _with(state, place, doing="called")
    return called._replace(seen=state.seen | {run.generation}, there=state.there + happens_now)


def _woken(state: State) -> State:
    woken = tuple(each._replace(doing="due") if each.doing == "parked" else each for each in state.runs)
    return state._replace(runs=woken)


def _with(state: State, place: int, **changes: object) -> State:
    return state._replace(runs=replaced(state.runs, place, **changes))
