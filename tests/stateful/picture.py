"""A picture of the database after a move: every row that a rule looks at, read in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.store.database import Database

Row = Mapping[str, Any]

_QUERIES = {
    "runs": """
        select run_id::text, agent, status, waiting_reason, pause_requested, stop_requested, conversation_id, budget,
            spent_attempts, spent_tokens, spent_cost_usd, reserved_tokens, reserved_cost_usd, started_at, created_at,
            compensation, ending, error, forked_from::text, finished_at
        from agentflow.agent_runs order by created_at, run_id
    """,
    "steps": """
        select run_id::text, step_index, tool_name, tool_input, tool_output, error, status, attempt, idempotency_key,
            business_key, args_hash, effect, waiting_reason, claim_token::text, lease_until, person, subject_index,
            subject_tool, key_generation, reserved_tokens, reserved_cost_usd
        from agentflow.agent_steps order by run_id, step_index
    """,
    "attempts": "select run_id::text, step_index, attempt, status from agentflow.attempts",
    "keys": """
        select tool, key, generation, run_id::text, step_index, status, output from agentflow.idempotency_records
        order by tool, key, generation
    """,
    "approvals": """
        select approval_id::text, run_id::text, step_index, kind, status, args_hash from agentflow.approvals
        order by asked_at, run_id, step_index
    """,
    "transitions": "select run_id::text, old, new from agentflow.transitions order by id",
    "model_calls": "select run_id::text, prompt_tokens + completion_tokens as tokens from agentflow.model_calls",
    "outbox": "select run_id::text, step_index, item from agentflow.outbox",
    "ledger": "select run_id::text, step_index, key from public.ledger",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """All rows, by table; `seen` are the changes of steps since the last picture."""

    runs: Sequence[Row]
    steps: Sequence[Row]
    attempts: Sequence[Row]
    keys: Sequence[Row]
    approvals: Sequence[Row]
    transitions: Sequence[Row]
    model_calls: Sequence[Row]
    outbox: Sequence[Row]
    ledger: Sequence[Row]
    seen: Sequence[Row]

    @classmethod
    def take(cls, database: Database, after: int) -> Picture:
        """Read all rows, and the changes with an id above `after`."""
        with database.transaction() as tx:

            def read(query: str) -> list[Row]:
                return [dict(row) for row in tx.connection.exec_driver_sql(query).mappings()]

            tables = {name: read(query) for name, query in _QUERIES.items()}
            return cls(**tables, seen=read(f"select * from public.seen where id > {after} order by id"))

    def steps_of(self) -> Mapping[str, list[Row]]:
        """Return each run's steps in order."""
        found: dict[str, list[Row]] = defaultdict(list)
        for step in self.steps:
            found[step["run_id"]].append(step)
        return found

    def step(self, run_id: str, step_index: int) -> Row | None:
        """Return a step, None where there is none."""
        named = (run_id, step_index)
        return next((each for each in self.steps if (each["run_id"], each["step_index"]) == named), None)


def sent_key(step: Row) -> str:
    """Return the key that the other side is shown."""
    key, generation = step["idempotency_key"], step["key_generation"]
    return key if generation == 1 else f"{key}#{generation}"


NOTHING = Picture(*[()] * 10)
FINAL = ("done", "failed", "cancelled")
OPEN_STEPS = ("pending", "running", "in_doubt")


def name_of(step: Row) -> str:
    """Return a step in words."""
    return f"{step['tool_name']} ({step['effect']}) {step['run_id']}:{step['step_index']}"
