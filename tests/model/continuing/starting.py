"""Starting a run: its first step is decided, written and claimed in one transaction too, by whoever finds it fresh.

Production decides under the run's lock. Here there is time between the look and the transaction, which looks again.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.continuing.state import IDLE, NONE, Process, Rules, State, with_process
from tests.model.continuing.working import claimed_by_nobody_else
from tests.model.machine import Move


def starting(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that begins a run, or that does not know whether it has."""
    if process == IDLE and _is_fresh(state) and state.in_use < rules.slots:
        found = with_process(state, place, Process("starting", slot=0))
        yield Move("the run is found to be fresh", found)
    elif process.doing == "unstarted" and _is_mine(state, process, rules):
        claimed = with_process(state, place, process._replace(doing="claimed"))
        yield Move("the run is read again: it is started, and step 0 claimed", claimed)
    elif process.doing in {"starting", "unstarted"}:
        if _is_fresh(state) or not rules.guards.fresh:
            yield from _commit(state, process)
        else:
            yield Move("the run is not fresh any more", _left(state, place, process, rules))


def _is_fresh(state: State) -> bool:
    return state.is_due and not (state.stop or state.ended) and not any(step.status for step in state.steps)


def _is_mine(state: State, process: Process, rules: Rules) -> bool:
    first = state.steps[0]
    return first.status == "running" and (process.holds if rules.guards.token else first.attempt == 1)


def _left(state: State, place: int, process: Process, rules: Rules) -> State:
    slot = NONE if rules.guards.give_back else process.slot
    return with_process(state, place, IDLE._replace(slot=slot, told=process.told))


def _commit(state: State, process: Process) -> Iterator[Move]:
    written = claimed_by_nobody_else(state, 0)._replace(is_due=False)
    at = written.processes.index(process._replace(holds=False))
    mine = process._replace(doing="claimed", holds=True)
    yield Move("the run is started, and step 0 claimed", with_process(written, at, mine))
    if state.faults:
        left = state.faults - 1
        unsure = mine._replace(doing="unstarted")
        name = "the run is started, and step 0 claimed; "
        yield Move(f"{name}its answer is lost", with_process(written, at, unsure, faults=left), is_fault=True)
        place, undone = state.processes.index(process), process._replace(doing="unstarted")
        lost = with_process(state, place, undone, faults=left)
        yield Move(f"{name}not committed, its answer lost", lost, is_fault=True)
