"""Simple reads, for clients and operators: runs, their steps, and what was logged of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from agentflow.store.database import Database, Row, Transaction
from agentflow.store.tables import (
    agent_runs,
    agent_steps,
    agents,
    alerts,
    attempts,
    interventions,
    metadata,
    model_calls,
    outbox,
    transitions,
)

__all__ = ["RunRecord", "StepRecord", "metadata"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands. Times are aware; `cost_usd` sums the model calls that have a price."""

    run_id: str
    tenant: str
    user_id: str | None
    agent: str
    agent_version: str
    status: str
    outcome: str | None
    current_step: int
    input: Any
    scratchpad: Any
    result: Any
    error: Any
    conversation_id: str | None
    idempotency_key: str | None
    waiting_reason: str | None
    stop_requested: str | None
    attempts: int
    tool_calls: int
    tokens: int
    cost_usd: Decimal
    budget: Any
    flags: Sequence[str]
    not_before: datetime | None
    created_at: datetime
    started_at: datetime | None
    deadline_at: datetime | None
    finished_at: datetime | None
    pause_requested: bool = False
    compensation: str | None = None
    forked_from: str | None = None
    overrides: Any = None
    queue: str = ""
    start_queue: str | None = None

    @property
    def is_final(self) -> bool:
        """True once the run has ended."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as it stands, with what its model call cost where it was one."""

    step_index: int
    tool_name: str
    status: str
    effect: str
    input: Any
    output: Any
    error: Any
    attempt: int
    idempotency_key: str
    queue: str
    parent_index: int | None
    call_index: int | None
    waiting_reason: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    tries: Sequence[Row]
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    business_key: bool = False
    subject_index: int | None = None
    subject_tool: str | None = None
    person: str | None = None


_RUN_COLUMNS = (
    agent_runs.c.run_id,
    agent_runs.c.tenant,
    agent_runs.c.user_id,
    agent_runs.c.agent,
    agent_runs.c.agent_version,
    agent_runs.c.status,
    agent_runs.c.outcome,
    agent_runs.c.current_step,
    agent_runs.c.input_payload.label("input"),
    agent_runs.c.scratchpad,
    agent_runs.c.result,
    agent_runs.c.error,
    agent_runs.c.conversation_id,
    agent_runs.c.idempotency_key,
    agent_runs.c.waiting_reason,
    agent_runs.c.stop_requested,
    agent_runs.c.spent_attempts.label("attempts"),
    agent_runs.c.spent_tool_calls.label("tool_calls"),
    agent_runs.c.spent_tokens.label("tokens"),
    agent_runs.c.spent_cost_usd.label("cost_usd"),
    agent_runs.c.budget,
    agent_runs.c.flags,
    agent_runs.c.not_before,
    agent_runs.c.created_at,
    agent_runs.c.started_at,
    agent_runs.c.deadline_at,
    agent_runs.c.finished_at,
    agent_runs.c.pause_requested,
    agent_runs.c.compensation,
    agent_runs.c.forked_from,
    agent_runs.c.overrides,
    agent_runs.c.queue,
    agent_runs.c.start_queue,
)


_STEP_COLUMNS = (
    agent_steps.c.step_index,
    agent_steps.c.tool_name,
    agent_steps.c.status,
    agent_steps.c.effect,
    agent_steps.c.tool_input.label("input"),
    agent_steps.c.tool_output.label("output"),
    agent_steps.c.error,
    agent_steps.c.attempt,
    agent_steps.c.idempotency_key,
    agent_steps.c.queue,
    agent_steps.c.parent_index,
    agent_steps.c.call_index,
    agent_steps.c.waiting_reason,
    agent_steps.c.next_attempt_at,
    agent_steps.c.created_at,
    agent_steps.c.finished_at,
    agent_steps.c.business_key,
    agent_steps.c.subject_index,
    agent_steps.c.subject_tool,
    agent_steps.c.person,
)


class Reads:
    """Reads of one database, for one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def run(self, run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        found = self._rows(select(*_RUN_COLUMNS).where(agent_runs.c.run_id == run_id, self._mine(agent_runs)))
        return RunRecord(**found[0]) if found else None

    def runs(
        self,
        *,
        status: str | None = None,
        agent: str | None = None,
        user: str | None = None,
        conversation: str | None = None,
        most: int = 50,
    ) -> list[RunRecord]:
        """Return the newest runs that fit, the newest first."""
        wanted = {
            agent_runs.c.status: status,
            agent_runs.c.agent: agent,
            agent_runs.c.user_id: user,
            agent_runs.c.conversation_id: conversation,
        }
        query = select(*_RUN_COLUMNS).where(self._mine(agent_runs))
        for column, value in wanted.items():
            if value is not None:
                query = query.where(column == value)
        rows = self._rows(query.order_by(agent_runs.c.created_at.desc(), agent_runs.c.run_id.desc()).limit(most))
        return [RunRecord(**row) for row in rows]

    def steps(self, run_id: str) -> list[StepRecord]:
        """Return a run's steps in order, each with its attempts, all as of one moment."""

        def body(tx: Transaction) -> list[StepRecord]:
            tries: dict[int, list[Row]] = {}
            for row in self._found(tx, self._of_run(attempts, run_id).order_by(attempts.c.attempt)):
                tries.setdefault(row["step_index"], []).append(row)
            calls = {row["step_index"]: row for row in self._found(tx, self._calls(run_id))}
            rows = self._found(tx, self._of_run(agent_steps, run_id, *_STEP_COLUMNS).order_by(agent_steps.c.step_index))
            return [
                StepRecord(**{**calls.get(row["step_index"], {}), **row}, tries=tries.get(row["step_index"], []))
                for row in rows
            ]

        return self._database.survey(body)

    def transitions(self, run_id: str) -> list[Row]:
        """Return a run's changes of status, oldest first: old, new, reason, step_index, at."""
        query = select(transitions).where(transitions.c.run_id == run_id, self._mine(transitions))
        return self._rows(query.order_by(transitions.c.id))

    def interventions(self, run_id: str) -> list[Row]:
        """Return what people did to a run, the oldest first: act, done_by, reason, step_index, details, at."""
        query = select(interventions).where(interventions.c.run_id == run_id, self._mine(interventions))
        return self._rows(query.order_by(interventions.c.id))

    def outbox(self, run_id: str | None = None) -> list[Row]:
        """Return queued messages: message_id, run_id, step_index, item, kind, payload, status."""
        query = select(outbox).where(self._mine(outbox))
        if run_id is not None:
            query = query.where(outbox.c.run_id == run_id)
        return self._rows(query.order_by(outbox.c.created_at, outbox.c.item))

    def alerts(self, most: int = 50, *, since: datetime | None = None) -> list[Row]:
        """Return what a person has to see, the newest first: cause, topic, message, run_id, step_index, count, ..."""
        query = select(alerts).where(self._mine(alerts))
        if since is not None:
            query = query.where(alerts.c.last_at >= since)
        return self._rows(query.order_by(alerts.c.last_at.desc(), alerts.c.id.desc()).limit(most))

    def agents(self) -> list[Row]:
        """Return the newest registration of each agent that workers serve."""
        query = select(agents).ext(distinct_on(agents.c.name))
        return self._rows(query.order_by(agents.c.name, agents.c.registered_at.desc()))

    def _calls(self, run_id: str) -> Select[Any]:
        columns = (
            model_calls.c.step_index,
            func.max(model_calls.c.response_model).label("model"),
            func.sum(model_calls.c.prompt_tokens).label("prompt_tokens"),
            func.sum(model_calls.c.completion_tokens).label("completion_tokens"),
            func.sum(model_calls.c.cost_usd).label("cost_usd"),
        )
        return self._of_run(model_calls, run_id, *columns).group_by(model_calls.c.step_index)

    def _of_run(self, table: Any, run_id: str, *columns: Any) -> Select[Any]:
        return select(*(columns or (table,))).where(table.c.run_id == run_id, self._mine(table))

    def _mine(self, table: Any) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = table.c.tenant == self._tenant
        return mine

    def _rows(self, query: Any) -> list[Row]:
        return self._database.atomically(lambda tx: self._found(tx, query))

    def _found(self, tx: Transaction, query: Any) -> list[Row]:
        schemas = {None: self._database.schema}
        result = tx.connection.execute(query, execution_options={"schema_translate_map": schemas})
        return [dict(row) for row in result.mappings()]
