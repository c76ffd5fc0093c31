"""Running agents in this process: the production executor and store, a real Postgres, no broker and no waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agentflow.client import Client
from agentflow.declare.declaration import Declaration
from agentflow.declare.registry import Registry
from agentflow.domain.errors import AgentflowError
from agentflow.domain.hint import Hint
from agentflow.domain.identity import Worker
from agentflow.engine.deadman import NoTimer
from agentflow.engine.executor import Ending, advance, execute_step
from agentflow.engine.recovery import take_back
from agentflow.engine.registration import Registration
from agentflow.engine.runtime import Reached, Runtime
from agentflow.llm.clients import client_for
from agentflow.policy.recovery import Evidence
from agentflow.settings import settings
from agentflow.store import sweeps
from agentflow.store.database import Database, Row, Transaction
from agentflow.testing.crashes import SimulatedCrash, Witness
from agentflow.testing.finished import FinishedRun
from agentflow.testing.hints import CollectedHints

_MOST_MOVES = 10_000


class Harness:
    """Runs agents step by step in this process."""

    def __init__(self, database_url: str, *, schema: str = "agentflow") -> None:
        self.database = Database(database_url, schema=schema, application="agentflow test")
        self.hints = CollectedHints()
        here = settings().model_copy(update={"db_schema": schema})
        self.client = Client(database_url=database_url, settings=here, hints=self.hints)

    def run(
        self,
        agent: Declaration,
        input: Any,
        *,
        model: Any = None,
        crash_after: str | Sequence[str] = (),
        crash_before: str | Sequence[str] = (),
        **submission: Any,
    ) -> FinishedRun:
        """Run an agent until it has ended, or waits for a person.

        `model` stands in for the agent's own. `crash_after` and `crash_before` name tools (or `model`) whose worker
        dies at that point of their first attempt; another takes over as it would in production. What else is given
        goes to `Client.submit`.
        """
        witness = Witness.crashing(after=_names(crash_after), before=_names(crash_before))
        runtime = self.runtime(agent, model=model, reached=witness)
        handle = self.client.submit(agent.name, input, **submission)
        self.work(runtime)
        return FinishedRun.read(self.client, handle.run_id, witness.calls)

    def runtime(self, *agents: Declaration, model: Any = None, reached: Reached | None = None) -> Runtime:
        """Return a worker's means for some agents, and register it."""
        registry = Registry.of(agents)
        worker = Worker.of_this_process()
        Registration(worker.worker_id, "test", frozenset(registry.queues), registry).write(self.database)
        self.client.declared.forget()
        overrides: Mapping[str, Any] = {} if model is None else {agent.name: model for agent in agents}
        runtime = Runtime(
            database=self.database,
            registry=registry,
            hints=self.hints,
            worker=worker,
            models=lambda model, api_key=None: client_for(
                model, base_url=settings().llm_base_url, api_key=api_key, prices=settings().price_table
            ),
            prices=settings().price_table,
            isolated=True,
            timer=NoTimer(),
            model_overrides=overrides,
        )
        if reached is not None:
            runtime.reached = reached
        return runtime

    def work(self, runtime: Runtime) -> None:
        """Move every run as far as it goes without a person; no time is waited for, every retry is due at once."""
        for _ in range(_MOST_MOVES):
            hint = self.hints.take() or self._forgotten()
            if hint is None and not self._take_back_lost() and not self._hasten():
                # What became due by itself a moment ago was neither forgotten then nor to be hastened now.
                hint = self._forgotten()
                if hint is None:
                    return
            if hint is not None:
                self.obey(runtime, hint)
        raise AgentflowError(f"the runs did not come to rest within {_MOST_MOVES} moves")

    def obey(self, runtime: Runtime, hint: Hint) -> Ending | None:
        """Do what one hint asks for; a simulated crash ends it where it stands. What is in the outbox stays there."""
        if hint.run_id is None:
            return None
        try:
            if hint.step_index is not None:
                return execute_step(runtime, hint.run_id, hint.step_index, hint.about)
            advance(runtime, hint.run_id)
        except SimulatedCrash:
            return None
        return None

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.database.close()

    def _forgotten(self) -> Hint | None:
        """Return the hint of something that is due and that no hint in this process tells of, as the sweeper would."""
        due = self.database.atomically(lambda tx: sweeps.hintable(tx, grace_s=0, most=1))
        if not due:
            return None
        return Hint(due[0].task_name, due[0].queue, due[0].run_id, due[0].step_index)

    def _hasten(self) -> bool:
        """Let the time pass until the next retry or verification is due, without waiting for it."""
        return self.database.atomically(lambda tx: tx.run("hasten_retry")) > 0

    def _take_back_lost(self) -> bool:
        """Take back what crashed: on the word of its parent where that is enough, else by ending its lease."""
        lost = self.database.atomically(lambda tx: tx.rows("running_steps"))
        for row in lost:
            self.database.atomically(partial(_end, row=row, evidence=Evidence.CHILD_DEAD))
            self.database.atomically(lambda tx, row=row: tx.run("end_lease", **row))  # type: ignore[misc]
            self.database.atomically(partial(_end, row=row, evidence=Evidence.LEASE_OVER))
        return bool(lost)


def _end(tx: Transaction, *, row: Row, evidence: Evidence) -> None:
    take_back(tx, str(row["run_id"]), row["step_index"], row["attempt"], evidence)


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names
