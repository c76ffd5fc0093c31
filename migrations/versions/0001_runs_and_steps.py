"""Runs, steps, their logs, and what workers need to find one another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table, and the views that show the logs under the names of their events."""
    _create_agent_runs()
    _create_agent_steps()
    _create_attempts()
    _create_model_calls()
    _create_messages()
    _create_transitions()
    _create_idempotency_records()
    _create_outbox()
    _create_conversations()
    _create_agents()
    _create_workers()
    _create_turns()
    _create_alerts()
    op.execute(_PROMPT_MESSAGES)
    op.execute(_TOOL_CALLS)
    op.execute(_LLM_CALLS)


_PROMPT_MESSAGES = """
    create function prompt_messages(text, bytea) returns json language sql stable set search_path from current as $$
        with recursive chain as (
            select m.hash, m.parent, m.body, 0 as depth from messages m where m.tenant = $1 and m.hash = $2
            union all
            select m.hash, m.parent, m.body, chain.depth + 1
            from chain join messages m on m.tenant = $1 and m.hash = chain.parent
        )
        select json_agg(chain.body order by chain.depth desc) from chain
    $$
"""

_TOOL_CALLS = """
    create view tool_calls as
    select a.tenant, a.run_id, a.step_index, s.tool_name as tool, s.tool_input as input,
        case when a.attempt = s.attempt then s.tool_output end as output, a.status, a.attempt, a.latency_ms,
        s.idempotency_key, a.error, a.late_result, a.started_at
    from attempts a
    join agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
    where s.tool_name not in ('model', 'approval', 'verify', 'compensate', 'question')
"""

_LLM_CALLS = """
    create view llm_calls as
    select c.tenant, c.run_id, c.step_index, c.attempt, c.model, c.response_model, c.prompt_tokens, c.completion_tokens,
        c.cost_usd as cost, c.latency_ms, prompt_messages(c.tenant, c.prompt_head) as prompt, c.response,
        c.response -> 'tool_calls' as tool_calls, c.finish_reason, c.created_at
    from model_calls c
"""


def _create_agent_runs() -> None:
    op.create_table(
        "agent_runs",
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("current_step", sa.Integer(), server_default="-1", nullable=False),
        sa.Column("input_payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("scratchpad", postgresql.JSON(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("result", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("budget", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("spent_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent_tool_calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_cost_usd", sa.Numeric(precision=18, scale=9), server_default="0", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("waiting_reason", sa.Text(), nullable=True),
        sa.Column("stop_requested", sa.Text(), nullable=True),
        sa.Column("pause_requested", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("advance_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("advance_hinted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("advance_hints", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_left_s", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index(
        "agent_runs_advance_due",
        "agent_runs",
        ["advance_due_at"],
        unique=False,
        postgresql_where=sa.text("advance_due_at is not null"),
    )
    op.create_index("agent_runs_by_time", "agent_runs", ["tenant", sa.text("created_at desc")], unique=False)
    op.create_index(
        "agent_runs_conversation",
        "agent_runs",
        ["tenant", "conversation_id", "created_at", "run_id"],
        unique=False,
        postgresql_where=sa.text("conversation_id is not null"),
    )
    op.create_index(
        "agent_runs_deadline",
        "agent_runs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("finished_at is null"),
    )
    op.create_index(
        "agent_runs_idempotency_key",
        "agent_runs",
        ["tenant", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key is not null"),
    )
    op.create_index(
        "agent_runs_open", "agent_runs", ["status"], unique=False, postgresql_where=sa.text("finished_at is null")
    )


def _create_agent_steps() -> None:
    op.create_table(
        "agent_steps",
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("tool_name", sa.Text(), nullable=False),
        sa.Column("tool_input", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("tool_output", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("business_key", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("args_hash", sa.LargeBinary(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("timeout_s", sa.Float(), nullable=False),
        sa.Column("parent_index", sa.Integer(), nullable=True),
        sa.Column("call_index", sa.Integer(), nullable=True),
        sa.Column("claim_token", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("worker_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("worker_pid", sa.Integer(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_reason", sa.Text(), nullable=True),
        sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hints", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["agent_runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "step_index"),
    )
    op.create_index(
        "agent_steps_pending",
        "agent_steps",
        ["queue", "hinted_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "agent_steps_running",
        "agent_steps",
        ["worker_id", "lease_until"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "agent_steps_waiting_for_key",
        "agent_steps",
        ["tenant", "tool_name", "idempotency_key"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' and waiting_reason = 'key_in_flight'"),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("claim_token", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("worker_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("worker_pid", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("late_result", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "step_index", "attempt"),
    )


def _create_model_calls() -> None:
    op.create_table(
        "model_calls",
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("response_model", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("prompt_head", sa.LargeBinary(), nullable=True),
        sa.Column("response", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("run_id", "step_index", "attempt"),
    )


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant", "hash"),
    )


def _create_transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=True),
        sa.Column("old", sa.Text(), nullable=True),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("transitions_by_run", "transitions", ["run_id", "id"], unique=False)


def _create_idempotency_records() -> None:
    op.create_table(
        "idempotency_records",
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("args_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("output", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant", "tool", "key", "generation"),
    )
    op.create_index("idempotency_records_by_step", "idempotency_records", ["run_id", "step_index"], unique=False)


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("message_id"),
        sa.UniqueConstraint("run_id", "step_index", "item", name="outbox_item"),
    )
    op.create_index(
        "outbox_open",
        "outbox",
        ["status", "created_at"],
        unique=False,
        postgresql_where=sa.text("status not in ('sent', 'failed')"),
    )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("turn_run_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant", "conversation_id"),
    )


def _create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("queues", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("input_schema", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("budget", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tools", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "registered_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", "version"),
    )


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("queues", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("agents", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "unbroken_since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("draining", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("worker_id"),
    )
    op.create_index(
        "workers_alive", "workers", ["heartbeat_at"], unique=False, postgresql_where=sa.text("stopped_at is null")
    )


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.UUID(as_uuid=False), nullable=False),
        sa.Column(
            "held_until", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="default", nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("step_index", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "cause", name="alerts_cause"),
    )
