"""Moving runs by hand: one claim, one record, one decision at a time, with a look at the rows in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentflow.declare.declaration import Declaration
from agentflow.domain.claim import Claim
from agentflow.domain.identity import new_token
from agentflow.domain.outcome import AttemptOutcome, Completed
from agentflow.engine.advancing import Advanced, advance_run
from agentflow.engine.claiming import Claimed, claim_step
from agentflow.engine.deadman import boottime
from agentflow.engine.executor import Ending, execute_step
from agentflow.engine.record import Recorded, Tried
from agentflow.engine.recording import record_outcome
from agentflow.engine.recovery import take_back
from agentflow.engine.refusing import NotClaimed
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness


class Hands:
    """One worker, moved step by step."""

    def __init__(self, harness: Harness, *agents: Declaration, **runtime: Any) -> None:
        self.harness = harness
        self.runtime = harness.runtime(*agents, **runtime)

    def submit(self, agent: Declaration, input: Any = None, **submission: Any) -> str:
        """Submit a run and return its id."""
        return self.harness.client.submit(agent.name, input, **submission).run_id

    def begin(self, agent: Declaration, input: Any = None, **submission: Any) -> str:
        """Submit a run, make its first decision, and return its id."""
        run_id = self.submit(agent, input, **submission)
        self.advance(run_id)
        return run_id

    def advance(self, run_id: str) -> Advanced:
        """Make a run's next decision."""
        return advance_run(self.runtime, run_id)

    def try_claim(self, run_id: str, step_index: int = 0, token: str | None = None) -> Claimed | NotClaimed:
        """Claim a step, or be answered otherwise."""
        return claim_step(self.runtime, run_id, step_index, token or new_token())

    def claim(self, run_id: str, step_index: int = 0) -> Claim:
        """Claim a step that can be claimed."""
        answer = self.try_claim(run_id, step_index)
        assert isinstance(answer, Claimed), answer
        return answer.claim

    def refusal(self, run_id: str, step_index: int = 0) -> tuple[str, str]:
        """Return the answer and the detail of a claim that is refused."""
        answer = self.try_claim(run_id, step_index)
        assert isinstance(answer, NotClaimed), answer
        return answer.refusal.answer.value, answer.refusal.detail

    def record(self, claim: Claim, outcome: AttemptOutcome | None = None) -> Recorded | None:
        """Record an outcome, a plain success unless told otherwise, without a decision."""
        return record_outcome(self.runtime, Claimed(claim, boottime()), Tried(outcome or Completed("done"), 1.0))

    def do(self, run_id: str, step_index: int = 0) -> Ending:
        """Take one step its whole way."""
        return execute_step(self.runtime, run_id, step_index)

    def lose(self, claim: Claim, evidence: Evidence = Evidence.CHILD_DEAD) -> None:
        """Take a claim's step back, as after the death of its process or the end of its lease."""
        step, attempt = claim.step, claim.attempt
        if evidence in {Evidence.LEASE_OVER, Evidence.OVERRUN}:
            self.sql("update agentflow.agent_steps set lease_until = clock_timestamp() - interval '1 second'")
        database = self.harness.database
        database.atomically(lambda tx: take_back(tx, step.run_id, step.step_index, attempt, evidence))

    def drop_hints(self) -> None:
        """Lose every hint that waits."""
        while self.harness.hints.take():
            continue

    def work(self) -> None:
        """Move every run as far as it goes without a person."""
        self.harness.work(self.runtime)

    def sql(self, statement: str, **values: Any) -> Sequence[Mapping[str, Any]]:
        """Run a statement of the test's own."""
        with self.harness.database.transaction() as tx:
            result = tx.connection.exec_driver_sql(statement, values or None)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def value(self, statement: str, **values: Any) -> Any:
        """Return the one value of a query of the test's own."""
        [row] = self.sql(statement, **values)
        [value] = row.values()
        return value

    def step_row(self, run_id: str, step_index: int = 0) -> Mapping[str, Any]:
        """Return a step's whole row."""
        where = {"run_id": run_id, "step_index": step_index}
        query = "select * from agentflow.agent_steps where run_id = %(run_id)s and step_index = %(step_index)s"
        return self.sql(query, **where)[0]

    def run_row(self, run_id: str) -> Mapping[str, Any]:
        """Return a run's whole row."""
        return self.sql("select * from agentflow.agent_runs where run_id = %(run_id)s", run_id=run_id)[0]

    def causes(self) -> set[str]:
        """Return what was alerted, by the word that each cause begins with."""
        return {row["cause"].partition(":")[0] for row in self.harness.client.alerts()}


class Interrupted:
    """Runs something once, the first time that a point of a step's way is reached."""

    def __init__(self, point: str, action: Callable[[Claim], object]) -> None:
        self._point = point
        self._action: Callable[[Claim], object] | None = action

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        """Let the step go on afterwards."""
        if point == self._point and claim is not None and self._action is not None:
            action, self._action = self._action, None
            action(claim)
