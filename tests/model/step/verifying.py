"""Verification: a step of its own that asks whether the call happened, once all has arrived that ever will."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.machine import Move
from tests.model.step.state import IDLE, Process, Rules, State, published, with_process, without_token

_AT_IT = frozenset({"asking", "told"})


def asking(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that takes the question on, asks it, and records the verdict."""
    match process.doing:
        case "idle" if state.question == "asked":
            asks = Process("asking", holds=True, settled=state.settled)
            yield Move("the verification is claimed", with_process(state, place, asks, question="running"))
        case "asking":
            verdict = "happened" if state.effects else "did not"
            told = process._replace(doing="told", heard=verdict)
            yield Move(f"the verification is told: it {verdict}", with_process(state, place, told))
            if state.faults:
                told = process._replace(doing="told", heard="unknown")
                unknown = with_process(state, place, told, faults=state.faults - 1)
                yield Move("the verification is told: nobody knows", unknown, is_fault=True)
        case "told":
            yield Move(f"the verdict is recorded: {process.heard}", _judged(state, place, process, rules))


def _judged(state: State, place: int, process: Process, rules: Rules) -> State:
    after = with_process(state, place, IDLE)
    if not process.holds:
        return after
    if state.status != "verifying":
        return after._replace(question="")
    if process.heard == "unknown":
        return after._replace(question="", status="person")
    if process.heard == "happened":
        return without_token(after._replace(question="", status="ok"))
    if not process.settled and rules.guards.settle:
        return after._replace(question="asked")
    return without_token(after._replace(question="", status="pending", messages=published(state)))


def passing(state: State, rules: Rules) -> Iterator[Move]:
    """Return what time does to a question: `settle_s` is over, and the worker that had it is found to be dead."""
    if state.question and not state.settled and not (state.under_way and rules.promises.verified):
        yield Move("settle_s is over", state._replace(settled=True))
    if state.question == "running":
        yield from _take_back(state)


def _take_back(state: State) -> Iterator[Move]:
    freed = (each._replace(holds=each.holds and each.doing not in _AT_IT) for each in state.processes)
    again = state._replace(question="asked", processes=tuple(sorted(freed)))
    if not any(each.doing in _AT_IT and each.holds and not each.frozen for each in state.processes):
        yield Move("the verification is taken back", again)
    elif state.faults:
        early = again._replace(faults=state.faults - 1)
        yield Move("the verification is taken back, though its worker lives", early, is_fault=True)
