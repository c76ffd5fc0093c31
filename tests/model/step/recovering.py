"""Recovery: leases that end, early or late, attempts that are taken back, and messages that are found to be lost."""

from __future__ import annotations

from collections.abc import Iterator

from agentflow.domain.step import Effect
from agentflow.policy.recovery import Evidence
from tests.model.machine import Move
from tests.model.step.recording import doubted
from tests.model.step.state import IDLE, IN_DOUBT, Process, Rules, State, published, without_token

_AT_ONCE = frozenset({Effect.READ, Effect.TRANSACTIONAL, Effect.KEYED})
_ON_PARENTS_WORD = _AT_ONCE | {Effect.IDEMPOTENT}
ENDS_EARLY = {
    Evidence.WORKER_DEAD: _AT_ONCE,
    Evidence.CHILD_DEAD: _ON_PARENTS_WORD,
    Evidence.RELEASED: _ON_PARENTS_WORD,
}
_ARMED = frozenset({"claimed", "calling", "waiting", "heard", "unrecorded"})


def recovering(state: State, rules: Rules) -> Iterator[Move]:
    """Return what time and the sweepers do to the step."""
    if state.lease and not _may_arrive(state, rules):
        yield from _end_lease(state, rules)
    if state.status == "running":
        yield from _take_back(state, rules)
    if state.status == "pending" and not (state.lease or state.messages) and rules.guards.sweeper:
        yield Move("the sweeper publishes a message again", state._replace(messages=1))
    if state.status == "person":
        yield from _resolve(state, rules)


def _holder(state: State) -> Process | None:
    return next((each for each in state.processes if each.holds and each.doing not in {"asking", "told"}), None)


def _may_arrive(state: State, rules: Rules) -> bool:
    """The promise of `idempotent` tools: nothing is under way any more once the lease, or the process, is over."""
    return rules.effect is Effect.IDEMPOTENT and rules.promises.idempotent and bool(state.under_way)


def _end_lease(state: State, rules: Rules) -> Iterator[Move]:
    holder = _holder(state) if state.status == "running" else None
    ended = state._replace(lease=False)
    if rules.has_timer:
        killed = (IDLE if each.holds and each.doing in _ARMED else each for each in state.processes)
        ended = ended._replace(processes=tuple(sorted(killed)))
    if holder is None or holder.frozen:
        yield Move(f"the lease of attempt {state.attempt} ends", ended)
    elif state.faults:
        slow = ended._replace(faults=state.faults - 1)
        yield Move(f"attempt {state.attempt} is slow, its lease ends", slow, is_fault=True)


def _take_back(state: State, rules: Rules) -> Iterator[Move]:
    name = f"attempt {state.attempt} is taken back:"
    holder = _holder(state)
    if not state.lease:
        yield Move(f"{name} its lease is over", _lost(state, rules))
    elif holder is None:
        if rules.effect in ENDS_EARLY[Evidence.CHILD_DEAD] and not _may_arrive(state, rules):
            yield Move(f"{name} its parent says that it is dead", _lost(state, rules))
    elif state.faults and (rules.effect in ENDS_EARLY[Evidence.WORKER_DEAD] or not rules.guards.lease_table):
        unheard = _lost(state._replace(faults=state.faults - 1), rules)
        yield Move(f"{name} its heartbeat is missed, though it lives", unheard, is_fault=True)


def _lost(state: State, rules: Rules) -> State:
    lost = doubted(state, rules)
    return lost if lost.status in IN_DOUBT else without_token(lost)


def _resolve(state: State, rules: Rules) -> Iterator[Move]:
    """A person looks at the world; not before the last moment at which something may arrive."""
    if state.under_way and rules.guards.last_moment:
        return
    state = without_token(state)
    if state.effects:
        yield Move("a person says that it happened", state._replace(status="ok"))
    else:
        again = state._replace(status="pending", messages=published(state))
        yield Move("a person says that it did not happen: try again", again)
    yield Move("a person lets it count as failed", state._replace(status="error"))
