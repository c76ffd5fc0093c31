"""Continuing a run in the process that has just done a step of it: whether it may, and the next step's bulkhead.

The next step is known only once the outcome is: it is decided on the history at hand, its bulkhead is entered in the
round trip that leaves the last one, and one transaction records, adds and claims. Where the run has moved on since,
that transaction records alone, and the place in the bulkhead is given back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.declare.declaration import Declaration
from agentflow.domain.decision import Next
from agentflow.domain.hint import Hint
from agentflow.domain.identity import new_token
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, Step
from agentflow.engine.claiming import Claimed
from agentflow.engine.entering import entry_of, look_of
from agentflow.engine.plan import Plan
from agentflow.engine.runtime import Runtime
from agentflow.engine.visiting import Visit
from agentflow.store.steps import PlannedStep


class Chain:
    """One task's continuation: how many steps it may still begin, and for how long."""

    def __init__(self, runtime: Runtime) -> None:
        self._left = runtime.continue_steps - 1
        self._until = time.monotonic() + runtime.continue_s

    def goes_on(self) -> bool:
        """Answer whether another step may be begun; each that is counts."""
        return self._left > 0 and time.monotonic() < self._until

    def count(self) -> None:
        """Count a step that is begun."""
        self._left -= 1


@dataclass(frozen=True, slots=True)
class Onward:
    """A step that is to be claimed with the record before it: its token, its place, and the history it will have."""

    step: PlannedStep
    token: str
    visit: Visit
    history: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Following:
    """A step that was claimed with the record before it, in its bulkhead."""

    claimed: Claimed
    visit: Visit

    @property
    def hint(self) -> Hint:
        """The message that would have led here."""
        step = self.claimed.claim.step
        return Hint(step.task_name, step.queue, step.run_id, step.step_index)


def look_onward(
    runtime: Runtime,
    chain: Chain,
    run: Run,
    declaration: Declaration,
    plan: Plan,
    history: Sequence[Step],
    visit: Visit,
) -> Onward | None:
    """Leave a visit for the plan's only step, where this process may go on with it; None where it may not."""
    step = _only_step(plan)
    if step is None or not (chain.goes_on() and _is_served(runtime, declaration, step)) or runtime.is_draining():
        return None
    entry = entry_of(runtime, look_of(run, step))
    if entry is None:
        return None
    entered = visit.pass_on(*entry)
    if entered is None:
        # It was told to wait: its own message has it parked, as it would be anywhere.
        return None
    chain.count()
    return Onward(step, new_token(), entered, [*history, _as_decided(step)])


def _only_step(plan: Plan) -> PlannedStep | None:
    if not (plan.alone and isinstance(plan.decision, Next) and len(plan.steps) == 1):
        return None
    (step,) = plan.steps
    return None if step.is_parked or step.person is not None else step


def _is_served(runtime: Runtime, declaration: Declaration, step: PlannedStep) -> bool:
    if step.queue not in runtime.queues or (step.effect.needs_process and not runtime.isolated):
        return False
    tool = declaration.tools.get(step.tool_name)
    # The answer of a tool that is cached may be known: its claim asks nobody then.
    return step.tool_name == MODEL or (tool is not None and not tool.cache)


def _as_decided(step: PlannedStep) -> Step:
    """Return a step as the history has it before its first attempt."""
    return Step(
        run_id=step.run_id,
        step_index=step.step_index,
        tool_name=step.tool_name,
        status=step.status,
        input=step.input,
        parent_index=step.parent_index,
        call_index=step.call_index,
        idempotency_key=step.idempotency_key,
        effect=step.effect,
    )
