"""Recording: the outcome behind the fence, in one commit, whose answer may be lost."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from tests.model.machine import Move
from tests.model.step.state import FINAL, IDLE, IN_DOUBT, Process, Rules, State, published, with_process

_OPEN = frozenset({"running", *IN_DOUBT})
_WRITTEN = {"ok": {"ok", "verifying"}, "no": {"pending", "error"}, "maybe": {"pending", *IN_DOUBT}}


def recording(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    """Return the moves of a process that has its outcome, or that does not know whether it was committed."""
    name = f"attempt {process.attempt}"
    if process.doing == "unrecorded" and process.holds and state.status in _WRITTEN[process.heard]:
        yield Move(f"{name} reads that its outcome is written", with_process(state, place, IDLE))
    elif process.doing in {"heard", "unrecorded"}:
        if _is_fenced(state, process, rules):
            yield Move(f"{name} is refused by the fence", _late(state, place, process, rules))
        else:
            yield from _record(state, place, process, rules)


def _is_fenced(state: State, process: Process, rules: Rules) -> bool:
    if not rules.guards.fence:
        return False
    if not rules.guards.intent:
        return state.status != "pending" or process.attempt != state.attempt + 1
    says_more = state.status == "running" or process.heard != "maybe"
    return not (process.holds and state.status in _OPEN and says_more)


def _late(state: State, place: int, process: Process, rules: Rules) -> State:
    if process.heard != "ok" or rules.effect in {Effect.READ, Effect.TRANSACTIONAL}:
        return with_process(state, place, IDLE)
    return with_process(state, place, IDLE, dropped=not rules.guards.late_results)


def _record(state: State, place: int, process: Process, rules: Rules) -> Iterator[Move]:
    for outcome, written in _outcomes(state, process, rules):
        name = f"attempt {process.attempt} records {outcome}"
        yield Move(name, with_process(written, place, IDLE))
        if state.faults:
            unsure = process._replace(doing="unrecorded")
            left = state.faults - 1
            done = with_process(written, place, unsure, faults=left)
            yield Move(f"{name}; its answer is lost", done, is_fault=True)
            yield Move(
                f"{name}; not committed, its answer lost",
                with_process(state, place, unsure, faults=left),
                is_fault=True,
            )


def _outcomes(state: State, process: Process, rules: Rules) -> Iterator[tuple[str, State]]:
    """Return what may be written; whoever records has the last word: nobody needs to ask any more."""
    written = state._replace(
        lease=False,
        attempt=max(state.attempt, process.attempt),
        changed=state.changed or state.status in FINAL,
        question="" if state.question == "asked" else state.question,
    )
    match process.heard:
        case "ok" if rules.verify_after:
            yield "ok, to be verified", doubted(written, rules)
        case "ok":
            happens_now = 1 if rules.effect is Effect.TRANSACTIONAL else 0
            yield "ok", written._replace(status="ok", effects=state.effects + happens_now)
        case "no":
            yield "that it shall be tried again", written._replace(status="pending", messages=published(state))
            yield "error", written._replace(status="error")
        case "maybe":
            waits = rules.effect is Effect.IDEMPOTENT and rules.guards.lease_wait
            yield "that it may have happened", doubted(written, rules)._replace(lease=state.lease and waits)


def doubted(state: State, rules: Rules) -> State:
    """Return what becomes of a step that may have happened, by its class."""
    if rules.effect is Effect.UNSAFE:
        return state._replace(status="person", lease=False)
    if rules.effect is Effect.VERIFIED:
        return state._replace(status="verifying", lease=False, question="asked", settled=False)
    return state._replace(status="pending", lease=False, messages=published(state))
