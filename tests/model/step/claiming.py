"""Claiming: the gate to a step, one commit, whose answer may be lost."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.machine import Move
from tests.model.step.state import IDLE, Process, Rules, State, with_process


def claiming(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that takes a message, or that does not know whether its claim was committed."""
    if process.doing == "unsure":
        yield from _read_again(state, place, process, rules)
    elif process.doing == "idle" and state.messages:
        received = state._replace(messages=state.messages - 1)
        if state.status != "pending":
            yield Move("a message is refused: the step is not pending", received)
        elif state.lease:
            yield Move("a message is refused: the step is not due", received)
        else:
            yield from _claim(received, place, rules)


def _claim(state: State, place: int, rules: Rules) -> Iterator[Move]:
    attempt = state.attempt + 1
    if not rules.guards.intent:
        yield Move(f"attempt {attempt} begins, and nothing is committed", _begun(state, place, attempt))
        return
    yield Move(f"attempt {attempt} is claimed", _committed(state, place, "claimed"))
    if state.faults:
        state = state._replace(faults=state.faults - 1)
        unsure = Process("unsure", attempt)
        name = f"the claim of attempt {attempt}"
        yield Move(f"{name} is committed, its answer lost", _committed(state, place, "unsure"), is_fault=True)
        yield Move(f"{name} is not committed, its answer lost", with_process(state, place, unsure), is_fault=True)


def _begun(state: State, place: int, attempt: int) -> State:
    return with_process(state, place, Process("calling", attempt))


def _committed(state: State, place: int, doing: str) -> State:
    attempt = state.attempt + 1
    others = tuple(each._replace(holds=False) for each in state.processes)
    state = state._replace(processes=others, status="running", attempt=attempt, lease=True)
    return with_process(state, place, Process(doing, attempt, holds=True))


def _read_again(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    is_mine = process.holds if rules.guards.claim_token else process.attempt == state.attempt
    name = f"attempt {process.attempt} is read again:"
    if state.status == "pending" and not state.lease:
        yield from _claim(state, place, rules)
    elif state.status == "running" and is_mine and (state.lease or not rules.has_timer):
        yield Move(f"{name} it was claimed", with_process(state, place, process._replace(doing="claimed")))
    else:
        yield Move(f"{name} it is not ours, or over", with_process(state, place, IDLE))
