"""Starting a run: its first decision, made and written in one transaction, with the claim of its first step.

Only the engine's own coordinators are asked under a run's lock: code of a user's may hang. The others' first decisions
are made as all later ones are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from agentflow.declare.declaration import Declaration
from agentflow.domain.hint import Hint
from agentflow.domain.run import Run, RunStatus
from agentflow.domain.waiting import TOOL_PAUSED
from agentflow.engine.claiming import Claimed, claim_added, claim_in, claimed_before
from agentflow.engine.continuing import Chain, Following, Onward, look_onward
from agentflow.engine.deadman import boottime
from agentflow.engine.deciding import apply_plan, make_plan
from agentflow.engine.plan import Plan
from agentflow.engine.preparing import reserved_for
from agentflow.engine.runtime import Runtime
from agentflow.engine.visiting import Visit
from agentflow.store import runs
from agentflow.store.database import Transaction
from agentflow.store.runs import Fresh, Taken

log = structlog.get_logger("agentflow.coordinator")


@dataclass(frozen=True, slots=True)
class Started:
    """What was written: the hints to publish, and the first step where this process goes on with it."""

    hints: list[Hint] = field(default_factory=list)
    following: Following | None = None


def start_run(runtime: Runtime, run_id: str, chain: Chain) -> Started | None:
    """Start a run that has no step yet; None where it has, or has to be decided on in the ordinary way."""
    start = _Start(runtime, run_id, chain)
    try:
        started = runtime.database.atomically(start.write)
        if started is not None and started.following is not None:
            start.keep()
        return started
    finally:
        start.give_back()


class _Start:
    """One start, whose transaction may have to be begun again."""

    def __init__(self, runtime: Runtime, run_id: str, chain: Chain) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._chain = chain
        self._sent_at = boottime()
        self._onward: Onward | None = None

    def give_back(self) -> None:
        """Leave a bulkhead that nobody goes on into."""
        onward, self._onward = self._onward, None
        if onward is not None:
            onward.visit.end()

    def keep(self) -> None:
        """Go on into the bulkhead, for good."""
        self._onward = None

    def write(self, tx: Transaction) -> Started | None:
        """Decide and write under the run's lock."""
        fresh = runs.lock_fresh(tx, self._run_id)
        if fresh is None:
            return self._started_before(tx)
        run = fresh.run
        declaration = self._runtime.registry.agents.get(run.agent)
        plan = self._plan(declaration, run)
        if declaration is None or plan is None:
            return None
        self.give_back()
        self._onward = look_onward(self._runtime, self._chain, run, declaration, plan, [], Visit(self._runtime))
        if self._onward is not None and (claimed := self._begin(tx, fresh, self._onward)):
            return self._following(claimed)
        hints = apply_plan(tx, run, plan, reason="advanced")
        return Started(hints) if self._onward is None else self._go_on(tx, self._onward)

    def _plan(self, declaration: Declaration | None, run: Run) -> Plan | None:
        if declaration is None or not declaration.decides_at_once:
            return None
        try:
            return replace(make_plan(declaration, run, []), alone=True)
        except Exception:
            # In the ordinary way it is raised again, and dealt with.
            log.debug("decide_raised", run_id=run.run_id, agent=run.agent, exc_info=True)
            return None

    def _begin(self, tx: Transaction, fresh: Fresh, onward: Onward) -> Claimed | None:
        """Add the plan's only step as this process's own; None where it cannot be that at once."""
        run, index = fresh.run, onward.step.step_index
        claimed = claim_added(
            tx,
            self._runtime,
            replace(run, version=run.version + 1, current_step=max(run.current_step, index)),
            fresh.now,
            onward.step,
            onward.token,
            sent_at=self._sent_at,
            history=onward.history,
            held=TOOL_PAUSED if onward.step.bulkhead in fresh.held else None,
        )
        if claimed is None:
            return None
        taken = Taken(onward.step.tool_name, reserved_for(claimed.call))
        runs.note_begun(tx, run, index, claimed.claim.run.deadline_at, taken)
        return claimed.standing_as(replace(run, status=RunStatus.RUNNING, waiting_reason=None))

    def _go_on(self, tx: Transaction, onward: Onward) -> Started:
        index = onward.step.step_index
        claimed = claim_in(
            tx, self._runtime, self._run_id, index, onward.token, sent_at=self._sent_at, history=onward.history
        )
        return self._following(claimed) if isinstance(claimed, Claimed) else Started(claimed.hints)

    def _started_before(self, tx: Transaction) -> Started | None:
        """Return what an earlier try at this transaction has written, where its first step has our token."""
        onward = self._onward
        if onward is None:
            return None
        claimed = claimed_before(tx, self._runtime, onward.step, onward.token, sent_at=self._sent_at)
        return None if claimed is None else self._following(claimed)

    def _following(self, claimed: Claimed) -> Started:
        assert self._onward is not None
        return Started([], Following(claimed, self._onward.visit))
