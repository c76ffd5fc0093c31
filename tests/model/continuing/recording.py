"""Recording a step and claiming the next, in one transaction, whose answer may be lost."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from tests.model.continuing.state import (
    IDLE,
    NONE,
    OUTDATED,
    Process,
    Rules,
    State,
    with_process,
    with_step,
)
from tests.model.continuing.working import claimed_by_nobody_else, told
from tests.model.machine import Move


def recording(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that has decided, or that does not know what became of its transaction."""
    if process.doing == "unsure" and _is_written(state, process, rules):
        yield _read_again(state, place, process, rules)
    elif process.doing in {"decided", "unsure"}:
        if _is_fenced(state, process, rules):
            yield Move(f"step {process.step} is refused by the fence", _left(state, place, process, rules))
        else:
            yield from _commit(state, place, process, rules)
    elif process.doing == "recorded":
        claimed = claimed_by_nobody_else(state, process.step)
        mine = process._replace(doing="claimed", holds=True)
        # The token may have been this process's own already: it is found by what else it is.
        at = claimed.processes.index(process._replace(holds=False))
        yield Move(f"step {process.step} is claimed without a look", with_process(claimed, at, mine))


def _is_written(state: State, process: Process, rules: Rules) -> bool:
    return state.steps[process.step].status == "ok" and (process.holds or not rules.guards.token)


def _read_again(state: State, place: int, process: Process, rules: Rules) -> Move:
    name = f"step {process.step} is read again: it is recorded"
    if process.goes and _is_mine(state, process, rules):
        return Move(f"{name}, and the next one claimed", with_process(state, place, _gone_on(process)))
    return Move(name, _left(state, place, process, rules))


def _is_mine(state: State, process: Process, rules: Rules) -> bool:
    following = state.steps[process.step + 1]
    known = process.next if rules.guards.token else following.attempt == 1
    return following.status == "running" and known


def _gone_on(process: Process, doing: str = "claimed") -> Process:
    holds = doing == "claimed"
    return Process(doing, process.step + 1, holds=holds, slot=process.slot, told=told(process))


def _left(state: State, place: int, process: Process, rules: Rules) -> State:
    slot = NONE if rules.guards.give_back else process.slot
    return with_process(state, place, IDLE._replace(slot=slot, told=process.told))


def _is_fenced(state: State, process: Process, rules: Rules) -> bool:
    return rules.guards.fence and not (process.holds and state.steps[process.step].status == "running")


def _commit(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    written, name, goes_on = _written(state, process, rules)
    name = f"step {process.step} is recorded{name}"
    if goes_on:
        doing = "claimed" if rules.guards.together else "recorded"
        answered = with_process(written, place, _gone_on(process, doing))
    else:
        answered = _left(written, place, process, rules)
    yield Move(name, answered)
    if state.faults:
        unsure = process._replace(doing="unsure")
        left = state.faults - 1
        done = unsure._replace(next=goes_on and rules.guards.together)
        yield Move(f"{name}; its answer is lost", with_process(written, place, done, faults=left), is_fault=True)
        undone = with_process(state, place, unsure, faults=left)
        yield Move(f"{name}; not committed, its answer lost", undone, is_fault=True)


def _written(state: State, process: Process, rules: Rules) -> tuple[State, str, bool]:
    """Return what a transaction writes, what to call it, and whether its process goes on with the next step."""
    index, guards = process.step, rules.guards
    if state.steps[index].status == "ok":
        state = state._replace(wrong="an outcome was recorded over another")
    happens_now = rules.effects[index] is Effect.TRANSACTIONAL
    written = with_step(state, index, status="ok", lease=False, effects=state.steps[index].effects + happens_now)
    if (process.moved and guards.version) or (state.stop and guards.stop):
        return written._replace(is_due=guards.due), " alone", False
    if process.moved == OUTDATED:
        written = written._replace(wrong="the run went on by a history that is not its own")
    if not rules.has_next(process):
        return written._replace(ended="done"), ", and the run is done", False
    if not process.goes:
        return added(written, index + 1), ", and the next one is hinted", False
    if state.stop:
        written = written._replace(wrong="a step was begun after its run was asked to stop")
    if not guards.together:
        return with_step(written, index + 1, status="pending"), ", the next one not yet claimed", True
    return with_step(written, index + 1, status="running", attempt=1, lease=True), ", and the next one claimed", True


def added(state: State, index: int) -> State:
    """Return a state with a step added for whoever takes its message."""
    return with_step(state, index, status="pending", messages=1)
