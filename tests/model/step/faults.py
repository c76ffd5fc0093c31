"""What happens to processes and messages: they are killed, frozen, thawed; lost, doubled."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.machine import Move
from tests.model.step.state import IDLE, Process, State, with_process


def striking(state: State, place: int, process: Process) -> Iterator[Move]:
    """Return what may happen to a process that is at work."""
    name = f"the process of attempt {process.attempt} ({process.doing})"
    if process.frozen:
        yield Move(f"{name} thaws", with_process(state, place, process._replace(frozen=False)), is_fault=True)
    if process.doing == "idle" or not state.faults:
        return
    left = state.faults - 1
    yield Move(f"{name} is killed", with_process(state, place, IDLE, faults=left), is_fault=True)
    if not process.frozen and sum(each.frozen for each in state.processes) < len(state.processes) - 1:
        frozen = process._replace(frozen=True)
        yield Move(f"{name} is frozen", with_process(state, place, frozen, faults=left), is_fault=True)


def losing(state: State) -> Iterator[Move]:
    """Return what may happen to a message."""
    if state.messages and state.faults:
        left = state.faults - 1
        yield Move("a message is lost", state._replace(messages=state.messages - 1, faults=left), is_fault=True)
        if state.messages == 1:
            yield Move("a message is doubled", state._replace(messages=2, faults=left), is_fault=True)
