"""What may happen: processes are killed, frozen, told to end; messages lost and doubled; a run's version moves."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.continuing.state import ASKED, OUTDATED, TOLD, Process, State, moved, with_process, with_step
from tests.model.continuing.working import ended
from tests.model.machine import Move


def striking(state: State, place: int, process: Process) -> Iterator[Move]:
    """Return what may happen to a process that is at work."""
    name = f"the process of step {process.step} ({process.doing})"
    if process.frozen:
        yield Move(f"{name} thaws", with_process(state, place, process._replace(frozen=False)), is_fault=True)
    if process.doing == "idle" or not state.faults:
        return
    left = state._replace(faults=state.faults - 1)
    yield Move(f"{name} is killed", ended(left, place), is_fault=True)
    if process.frozen:
        return
    if sum(each.frozen for each in state.processes) < len(state.processes) - 1:
        yield Move(f"{name} is frozen", with_process(left, place, process._replace(frozen=True)), is_fault=True)
    if not process.told:
        yield Move(f"{name} is told to end", with_process(left, place, process._replace(told=TOLD)), is_fault=True)


def intervening(state: State) -> Iterator[Move]:
    """Return what may happen to messages and to the run."""
    if not state.faults or state.ended:
        return
    left = state._replace(faults=state.faults - 1)
    for index, step in enumerate(state.steps):
        if step.messages:
            yield Move(f"a message of step {index} is lost", with_step(left, index, messages=0), is_fault=True)
        elif step.status == "running":
            yield Move(f"step {index} is hinted once more", with_step(left, index, messages=1), is_fault=True)
    yield Move("other steps come next now", moved(left, OUTDATED), is_fault=True)
    if not state.stop:
        for word in ("cancel", "pause"):
            yield Move(f"somebody asks to {word} the run", moved(left._replace(stop=word), ASKED), is_fault=True)
