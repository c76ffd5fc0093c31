"""Working on a step: taking it from a message, arming the timer, calling, and deciding what comes next."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from tests.model.continuing.state import IDLE, NONE, TOLD, Process, Rules, State, with_process, with_step, without_token
from tests.model.machine import Move
from tests.model.step.state import PREFORK

# What is sent outside by a call, once; of a transactional tool's, it is there with its record.
_AT_HOME = frozenset({Effect.READ, Effect.TRANSACTIONAL})
_REPEATABLE = frozenset({Effect.KEYED, Effect.IDEMPOTENT})


def working(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process up to its record."""
    name = f"step {process.step}"
    match process.doing:
        case "idle" if process.told:
            yield Move("a process that was told to end has ended", with_process(state, place, IDLE))
        case "idle":
            for index in range(len(state.steps)):
                yield from _receive(state, place, index, rules)
        case "claimed":
            yield _arm(state, place, process, rules)
        case "ready":
            heard = with_process(state, place, process._replace(doing="heard"))
            yield Move(f"{name} is called", _changed_world(heard, process.step, rules))
        case "heard":
            yield from _decide(state, place, process, rules)


def _receive(state: State, place: int, index: int, rules: Rules) -> Iterator[Move]:
    step = state.steps[index]
    if not step.messages:
        return
    received = with_step(state, index, messages=step.messages - 1)
    is_open = step.status == "pending" or (step.status == "running" and not rules.guards.pending)
    if state.ended or state.stop or not is_open:
        yield Move(f"a message of step {index} is refused", received)
    elif state.in_use < rules.slots:
        claimed = claimed_by_nobody_else(received, index)
        armed = rules.effects[index] in PREFORK
        ready = Process("ready", index, holds=True, slot=index, armed=armed)
        yield Move(f"step {index} is claimed", with_process(claimed, claimed.processes.index(IDLE), ready))


def claimed_by_nobody_else(state: State, index: int) -> State:
    """Return a state in which a step is claimed afresh, its token not yet on any process."""
    state = without_token(state, index)
    return with_step(state, index, status="running", attempt=min(2, state.steps[index].attempt + 1), lease=True)


def _arm(state: State, place: int, process: Process, rules: Rules) -> Move:
    name = f"the timer of step {process.step}"
    ready = process._replace(doing="ready")
    if rules.effects[process.step] not in PREFORK or not rules.guards.timer:
        return Move(f"{name} is none", with_process(state, place, ready))
    if process.holds and state.steps[process.step].lease:
        return Move(f"{name} is armed", with_process(state, place, ready._replace(armed=True)))
    if not rules.guards.deadline:
        return Move(f"{name} is armed for too late", with_process(state, place, ready))
    return Move(f"{name} fires at once", ended(state, place))


def ended(state: State, place: int) -> State:
    """Return a state in which a process was killed, and started again; its slot is nobody's."""
    leaked = state.leaked + (state.processes[place].slot != NONE)
    return with_process(state, place, IDLE, leaked=leaked)


def _changed_world(state: State, index: int, rules: Rules) -> State:
    effect, before = rules.effects[index], state.steps[index].effects
    if effect in _AT_HOME:
        return state
    return with_step(state, index, effects=1 if effect in _REPEATABLE else before + 1)


def _decide(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    name = f"step {process.step} is decided on:"
    decided = process._replace(doing="decided", moved=0, slot=NONE)
    yield Move(f"{name} nobody shall go on from here", with_process(state, place, decided))
    if not rules.has_next(process) or (process.told and rules.guards.draining):
        return
    if process.slot == process.step or state.in_use < rules.slots or not rules.guards.room:
        passed = decided._replace(goes=True, slot=process.step + 1)
        yield Move(f"{name} the slot is passed on", with_process(state, place, passed))


def told(process: Process) -> int:
    """Return what a process has come to since it was told to end, when it begins another step."""
    return process.told + 1 if process.told >= TOLD else 0
