"""Runs that use one business key, for an unsafe effect: one of them makes the call, the others get its answer.

due --takes the key--> claimed --calls--> called --records--> ok, error; lost on the way: in doubt
due --the key is another's--> parked, until that is resolved; or its answer is known: shared
doubt --a person--> ok, due again, error; or `failed`, where nobody knows, which keeps the key
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move, replaced

_FINAL = frozenset({"ok", "shared", "error", "failed"})


class Run(NamedTuple):
    """A run, its one step, and whether the key's record names it. `happened` is what only the world knows."""

    doing: str = "due"
    owns: bool = False
    happened: bool = False


class State(NamedTuple):
    """The runs, whether the key is spent, and the world."""

    runs: tuple[Run, ...]
    faults: int
    spent: bool = False
    effects: int = 0


@dataclass(frozen=True)
class Guards:
    """Rules of Idempotency records."""

    record: bool = True  # unique by (tenant, tool, key)
    own_record: bool = True  # a later attempt of the same step takes over its own record
    held_in_doubt: bool = True  # in doubt holds it until a person resolves, also when the run is over
    wake: bool = True  # woken by the transaction that resolves it


@dataclass(frozen=True)
class KeyMachine:
    """As many runs as processes."""

    processes: int = 2
    faults: int = 4
    guards: Guards = Guards()

    def start(self) -> State:
        """Return runs that all want to make the call."""
        return State((Run(),) * self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that workers, people and faults may do."""
        for place, run in enumerate(state.runs):
            name = f"run {place}"
            match run.doing:
                case "due":
                    yield Move(f"{name} claims", self._claimed(state, place, run))
                case "claimed":
                    called = _with(state, place, doing="called", happened=True)
                    yield Move(f"{name} calls", called._replace(effects=state.effects + 1))
                    yield from self._fail(state, place)
                case "called":
                    yield Move(f"{name} records ok", self._spend(_with(state, place, doing="ok")))
                    yield from self._fail(state, place)
                case "doubt":
                    yield from self._resolve(state, place, run)
                case "failed" if run.owns and not run.happened:
                    yield Move(f"a person says that {name}'s call did not happen", self._free(state, place))

    def _claimed(self, state: State, place: int, run: Run) -> State:
        if not self.guards.record:
            return _with(state, place, doing="claimed")
        if run.owns and self.guards.own_record:
            return _with(state, place, doing="claimed")
        if state.spent:
            return _with(state, place, doing="shared")
        if any(each.owns for each in state.runs):
            return _with(state, place, doing="parked")
        return _with(state, place, doing="claimed", owns=True)

    def _fail(self, state: State, place: int) -> Iterator[Move]:
        if not state.faults:
            return
        left = state._replace(faults=state.faults - 1)
        lost = _with(left, place, doing="doubt")
        if not self.guards.held_in_doubt:
            lost = self._free(lost, place)
        yield Move(f"run {place} is lost: in doubt", lost, is_fault=True)
        if state.runs[place].doing == "claimed":
            refused = self._free(_with(left, place, doing="error"), place)
            yield Move(f"run {place} is refused: error", refused, is_fault=True)

    def _resolve(self, state: State, place: int, run: Run) -> Iterator[Move]:
        if run.happened:
            known = self._spend(_with(state, place, doing="ok"))
            yield Move(f"a person says that run {place}'s call happened", known)
        else:
            yield Move(f"a person lets run {place} try again", _with(state, place, doing="due"))
            failed = self._free(_with(state, place, doing="error"), place)
            yield Move(f"a person says that run {place}'s call did not happen, and fails it", failed)
        yield Move(f"a person fails run {place}, not knowing", _with(state, place, doing="failed"))

    def _spend(self, state: State) -> State:
        return self._woken(state._replace(spent=True))

    def _free(self, state: State, place: int) -> State:
        return self._woken(_with(state, place, owns=False))

    def _woken(self, state: State) -> State:
        if not self.guards.wake:
            return state
        woken = tuple(each._replace(doing="due") if each.doing == "parked" else each for each in state.runs)
        return state._replace(runs=woken)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: the call is made twice, or an answer is shared that nobody gave."""
        if state.effects > 1:
            return "the effect happened twice under one key"
        if not state.effects and any(run.doing in {"ok", "shared"} for run in state.runs):
            return "a run is ok, and the effect is missing"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether all runs ended, or wait for what a person has failed without knowing."""
        unknown = any(run.doing == "failed" and run.owns for run in state.runs)
        return all(run.doing in _FINAL or (unknown and run.doing == "parked") for run in state.runs)


def _with(state: State, place: int, **changes: object) -> State:
    return state._replace(runs=replaced(state.runs, place, **changes))
