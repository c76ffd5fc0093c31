"""What time, sweepers and people do to a run: leases and slots that end, hints again, decisions that are due."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from agentflow.policy.recovery import Evidence
from tests.model.continuing.recording import added
from tests.model.continuing.state import (
    ASKED,
    NONE,
    Process,
    Rules,
    State,
    moved,
    with_process,
    with_step,
    without_token,
)
from tests.model.continuing.working import ended
from tests.model.machine import Move
from tests.model.step.recovering import ENDS_EARLY

_OPEN = frozenset({"pending", "running", "doubt"})
# Nobody repeats these before it is known whether they happened.
_LOOKED_AT = frozenset({Effect.VERIFIED, Effect.UNSAFE})


def recovering(state: State, rules: Rules) -> Iterator[Move]:
    """Return what others do about the steps, the slots and the run."""
    for index, step in enumerate(state.steps):
        if step.lease:
            yield from _end_lease(state, index)
        if step.status == "running":
            yield from _take_back(state, index, rules)
        if step.status == "doubt":
            yield _settle(state, index)
        if step.status == "pending" and not (step.messages or state.stop):
            yield Move(f"the sweeper hints step {index}", with_step(state, index, messages=1))
    yield from _free_slots(state, rules)
    yield from _go_on(state)


def _holder(state: State, index: int) -> Process | None:
    for each in state.processes:
        if (each.holds and each.step == index and each.doing != "idle") or (each.next and each.step + 1 == index):
            return each
    return None


def _end_lease(state: State, index: int) -> Iterator[Move]:
    holder = _holder(state, index)
    over = with_step(state, index, lease=False)
    if holder is not None and holder.armed and holder.step == index:
        over = ended(over, over.processes.index(holder))
    if holder is None or holder.frozen:
        yield Move(f"the lease of step {index} ends", over)
    elif state.faults:
        slow = over._replace(faults=state.faults - 1)
        yield Move(f"step {index} is slow, its lease ends", slow, is_fault=True)


def _take_back(state: State, index: int, rules: Rules) -> Iterator[Move]:
    effect, holder = rules.effects[index], _holder(state, index)
    name = f"step {index} is taken back:"
    if not state.steps[index].lease:
        yield Move(f"{name} its lease is over", _lost(state, index, rules))
    elif holder is None and effect in ENDS_EARLY[Evidence.CHILD_DEAD]:
        yield Move(f"{name} its parent says that it is dead", _lost(state, index, rules))
    elif holder is not None and state.faults and effect in ENDS_EARLY[Evidence.WORKER_DEAD]:
        unheard = _lost(state._replace(faults=state.faults - 1), index, rules)
        yield Move(f"{name} its heartbeat is missed, though it lives", unheard, is_fault=True)


def _lost(state: State, index: int, rules: Rules) -> State:
    """Return a state in which an attempt is lost, and with it the slot that was taken for its step."""
    state = without_token(state, index)
    evicted = (each._replace(slot=NONE) if each.slot == index else each for each in state.processes)
    state = state._replace(processes=tuple(sorted(evicted)))
    if rules.effects[index] in _LOOKED_AT:
        return with_step(state, index, status="doubt", lease=False)
    return with_step(state, index, status="pending", lease=False, messages=1)


def _settle(state: State, index: int) -> Move:
    if state.steps[index].effects:
        happened = with_step(state, index, status="ok")._replace(is_due=True)
        return Move(f"step {index} is found to have happened", happened)
    again = with_step(state, index, status="pending", messages=1)
    return Move(f"step {index} is found not to have happened", again)


def _free_slots(state: State, rules: Rules) -> Iterator[Move]:
    if not rules.guards.slot_lease:
        return
    if state.leaked:
        yield Move("the slot of a dead process is given back", state._replace(leaked=state.leaked - 1))
    for place, each in enumerate(state.processes):
        if each.frozen and each.slot != NONE:
            freed = with_process(state, place, each._replace(slot=NONE))
            yield Move("the slot of a frozen process is given back", freed)


def _go_on(state: State) -> Iterator[Move]:
    statuses = [step.status for step in state.steps]
    if state.ended:
        return
    if state.stop == "pause":
        yield Move("the run is resumed", moved(state._replace(stop=""), ASKED))
    elif state.stop == "cancel":
        if not {"running", "doubt"} & set(statuses):
            yield Move("the run is stopped", state._replace(ended="cancelled", is_due=False))
    elif state.is_due and not _OPEN & set(statuses):
        state = state._replace(is_due=False)
        if "" in statuses:
            yield Move("the run is advanced", added(state, statuses.index("")))
        else:
            yield Move("the run is advanced, and done", state._replace(ended="done"))
