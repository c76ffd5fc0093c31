"""Calling: the request on its way, the world that it changes, and the answer or the lack of one."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from tests.model.machine import Move
from tests.model.step.state import FINAL, IDLE, OVER_THE_WIRE, PREFORK, Process, Rules, State, with_process


def calling(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that holds a claim and has no answer yet."""
    name = f"attempt {process.attempt}"
    match process.doing:
        case "claimed" if rules.effect in PREFORK and process.holds and not state.lease:
            yield Move(f"{name} sees that its lease is over", with_process(state, place, IDLE))
        case "claimed" if rules.effect in OVER_THE_WIRE:
            yield Move(f"{name} is about to call", with_process(state, place, process._replace(doing="calling")))
        case "claimed":
            yield from _call_at_home(state, place, process, rules)
        case "calling":
            sent = tuple(sorted((*state.under_way, process.attempt)))
            waiting = process._replace(doing="waiting")
            yield Move(f"{name} sends its request", with_process(state, place, waiting, under_way=sent))
        case "waiting":
            yield from _wait(state, place, process, rules)


def _call_at_home(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """What reads, and what only writes rows in the recording transaction."""
    name = f"attempt {process.attempt}"
    yield Move(f"{name} works", _heard(state, place, process, "ok"))
    if state.faults:
        state = state._replace(faults=state.faults - 1)
        yield Move(f"{name} fails", _heard(state, place, process, "no"), is_fault=True)
        if rules.effect is Effect.READ:
            yield Move(f"{name} gets no answer", _heard(state, place, process, "maybe"), is_fault=True)


def _wait(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    name = f"attempt {process.attempt}"
    is_under_way = process.attempt in state.under_way
    if not is_under_way:
        yield Move(f"{name} is answered", _heard(state, place, process, "ok"))
    if state.faults:
        state = state._replace(faults=state.faults - 1)
        yield Move(f"{name} gives up waiting", _heard(state, place, process, "maybe"), is_fault=True)
        if is_under_way:
            refused = state._replace(under_way=_without(state.under_way, process.attempt))
            yield Move(f"{name} is refused", _heard(refused, place, process, "no"), is_fault=True)
            if not rules.promises.answers:
                lied = _heard(refused, place, process, "ok")
                yield Move(f"{name} is answered, though nothing happened", lied, is_fault=True)


def _heard(state: State, place: int, process: Process, heard: str) -> State:
    return with_process(state, place, process._replace(doing="heard", heard=heard))


def arriving(state: State, rules: Rules) -> Iterator[Move]:
    """Return what may become of the requests under way: each arrives, or is lost where nobody waits for it."""
    for attempt in set(state.under_way):
        rest = state._replace(under_way=_without(state.under_way, attempt))
        yield Move(f"the request of attempt {attempt} arrives", _changed_world(rest, rules))
        if not any(each.doing == "waiting" and each.attempt == attempt for each in state.processes):
            yield Move(f"the request of attempt {attempt} never arrives", rest)


def _changed_world(state: State, rules: Rules) -> State:
    if rules.effect is Effect.KEYED and rules.promises.keyed:
        return state._replace(effects=1)
    if rules.effect is Effect.IDEMPOTENT:
        # The run has gone on since, and something newer stands there.
        return state._replace(effects=1, overwritten=state.overwritten or state.status in FINAL)
    return state._replace(effects=state.effects + 1)


def _without(under_way: tuple[int, ...], attempt: int) -> tuple[int, ...]:
    rest = list(under_way)
    rest.remove(attempt)
    return tuple(rest)
