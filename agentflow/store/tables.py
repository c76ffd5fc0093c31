"""The tables, as SQLAlchemy metadata: what migrations are checked against, and what simple reads are written with."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

metadata = MetaData()

_NOW = text("clock_timestamp()")
# A run's id begins with the time it was made: what belongs to one run lies with all else of its month.
_BY_RUN = "range (run_id)"


def _time(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=_NOW if required else None)


def _id(name: str, *, required: bool = True) -> Column[object]:
    return Column(name, UUID(as_uuid=False), nullable=not required)


def _text(name: str, *, required: bool = False, default: str | None = None) -> Column[object]:
    return Column(name, Text, nullable=not required, server_default=default)


def _integer(name: str, default: int | None = None, *, required: bool = True) -> Column[object]:
    return Column(name, Integer, nullable=not required, server_default=None if default is None else str(default))


def _flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False, server_default="false")


def _tenant() -> Column[object]:
    return _text("tenant", required=True, default="default")


def _flags() -> Column[object]:
    return Column("flags", ARRAY(Text), nullable=False, server_default="{}")


def _reserved() -> tuple[Column[object], ...]:
    return (
        Column("reserved_tokens", BigInteger, nullable=False, server_default="0"),
        Column("reserved_cost_usd", Numeric(18, 9), nullable=False, server_default="0"),
    )


# Payloads are `json`, not `jsonb`: keys keep their order and numbers their digits.
agent_runs = Table(
    "agent_runs",
    metadata,
    _id("run_id"),
    _tenant(),
    _text("user_id"),
    _text("agent", required=True),
    _text("agent_version", required=True),
    _text("queue", required=True),
    _text("start_queue"),
    _text("status", required=True, default="pending"),
    _integer("current_step", -1),
    Column("input_payload", JSON, nullable=False),
    Column("scratchpad", JSON, nullable=False, server_default="{}"),
    Column("result", JSON),
    _text("outcome"),
    Column("error", JSON),
    _text("conversation_id"),
    _text("idempotency_key"),
    Column("input_hash", LargeBinary, nullable=False),
    Column("budget", JSONB, nullable=False, server_default="{}"),
    _integer("spent_attempts", 0),
    _integer("spent_tool_calls", 0),
    Column("spent_tokens", BigInteger, nullable=False, server_default="0"),
    Column("spent_cost_usd", Numeric(18, 9), nullable=False, server_default="0"),
    *_reserved(),
    _text("fallback", required=True, default="fail"),
    _text("on_failure", required=True, default="keep"),
    Column("ending", JSON),
    _text("compensation"),
    Column("overrides", JSON),
    _id("forked_from", required=False),
    Column("notify", JSON),
    Column("version", BigInteger, nullable=False, server_default="0"),
    _text("waiting_reason"),
    _text("stop_requested"),
    _flag("pause_requested"),
    _time("not_before"),
    _time("advance_due_at"),
    _time("advance_hinted_at"),
    _integer("advance_hints", 0),
    _time("started_at"),
    _time("deadline_at"),
    Column("time_left_s", Float),
    _time("finished_at"),
    _flags(),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    PrimaryKeyConstraint("run_id"),
    Index("agent_runs_by_time", "tenant", text("created_at desc")),
    Index("agent_runs_open", "status", postgresql_where=text("finished_at is null")),
    Index("agent_runs_advance_due", "advance_due_at", postgresql_where=text("advance_due_at is not null")),
    Index("agent_runs_deadline", "deadline_at", postgresql_where=text("finished_at is null")),
    Index(
        "agent_runs_conversation",
        "tenant",
        "conversation_id",
        "created_at",
        "run_id",
        postgresql_where=text("conversation_id is not null"),
    ),
    # Of older clients' lookups; that a key is used once is seen to by `run_keys`.
    Index(
        "agent_runs_by_key",
        "tenant",
        "idempotency_key",
        postgresql_where=text("idempotency_key is not null"),
    ),
    postgresql_partition_by=_BY_RUN,
)

# Filled by a trigger of `agent_runs`: no key is unique over partitions.
run_keys = Table(
    "run_keys",
    metadata,
    _tenant(),
    _text("idempotency_key", required=True),
    _id("run_id"),
    PrimaryKeyConstraint("tenant", "idempotency_key"),
)

agent_steps = Table(
    "agent_steps",
    metadata,
    _id("run_id"),
    _integer("step_index"),
    _tenant(),
    _text("tool_name", required=True),
    Column("tool_input", JSON, nullable=False),
    Column("tool_output", JSON),
    Column("error", JSON),
    _text("status", required=True, default="pending"),
    _integer("attempt", 0),
    _text("idempotency_key", required=True),
    _flag("business_key"),
    Column("args_hash", LargeBinary, nullable=False),
    _text("agent_version", required=True),
    _text("task_name", required=True),
    _text("queue", required=True),
    _text("effect", required=True),
    Column("timeout_s", Float, nullable=False),
    _integer("parent_index", required=False),
    _integer("call_index", required=False),
    _id("claim_token", required=False),
    _id("worker_id", required=False),
    _integer("worker_pid", required=False),
    _time("claimed_at"),
    _time("lease_until"),
    _time("next_attempt_at"),
    _text("waiting_reason"),
    _time("hinted_at"),
    _integer("hints", 0),
    _flag("quarantined"),
    _integer("deaths", 0),
    _text("bulkhead"),
    _integer("subject_index", required=False),
    _text("subject_tool"),
    _text("person"),
    Column("settle_s", Float),
    _flag("verify_after"),
    Column("unconfirmed", JSON),
    Column("noted", JSON),
    _integer("key_generation", 1),
    *_reserved(),
    _flags(),
    _time("created_at", required=True),
    _time("finished_at"),
    PrimaryKeyConstraint("run_id", "step_index"),
    Index("agent_steps_pending", "hinted_at", postgresql_where=text("status = 'pending' and next_attempt_at is null")),
    Index("agent_steps_running", "worker_id", "lease_until", postgresql_where=text("status = 'running'")),
    Index(
        "agent_steps_waiting_for_key",
        "tenant",
        "tool_name",
        "idempotency_key",
        postgresql_where=text("status = 'pending' and waiting_reason = 'key_in_flight'"),
    ),
    Index(
        "agent_steps_parked",
        "bulkhead",
        "next_attempt_at",
        postgresql_where=text("status = 'pending' and waiting_reason is not null"),
    ),
    Index(
        "agent_steps_due",
        "next_attempt_at",
        postgresql_where=text("status = 'pending' and next_attempt_at is not null"),
    ),
    postgresql_partition_by=_BY_RUN,
)

attempts = Table(
    "attempts",
    metadata,
    _id("run_id"),
    _integer("step_index"),
    _integer("attempt"),
    _tenant(),
    _id("claim_token"),
    _id("worker_id"),
    _integer("worker_pid"),
    _text("status", required=True),
    Column("error", JSON),
    Column("late_result", JSON),
    _time("started_at", required=True),
    _time("ended_at"),
    Column("latency_ms", Float),
    PrimaryKeyConstraint("run_id", "step_index", "attempt"),
    postgresql_partition_by=_BY_RUN,
)

messages = Table(
    "messages",
    metadata,
    _tenant(),
    Column("hash", LargeBinary, nullable=False),
    Column("parent", LargeBinary),
    Column("body", JSON, nullable=False),
    _time("created_at", required=True),
    PrimaryKeyConstraint("tenant", "hash"),
)

# Messages that no call refers to; those taken away already, with a body, until nobody can be about to refer to them.
messages_leaving = Table(
    "messages_leaving",
    metadata,
    _tenant(),
    Column("hash", LargeBinary, nullable=False),
    Column("parent", LargeBinary),
    Column("body", JSON),
    _time("created_at"),
    PrimaryKeyConstraint("tenant", "hash"),
)

model_calls = Table(
    "model_calls",
    metadata,
    _id("run_id"),
    _integer("step_index"),
    _integer("attempt"),
    _tenant(),
    _text("model", required=True),
    _text("response_model"),
    _integer("prompt_tokens", 0),
    _integer("completion_tokens", 0),
    Column("cost_usd", Numeric(18, 9)),
    Column("latency_ms", Float),
    Column("prompt_head", LargeBinary),
    Column("response", JSON),
    _text("finish_reason"),
    Column("error", JSON),
    _time("created_at", required=True),
    PrimaryKeyConstraint("run_id", "step_index", "attempt"),
    postgresql_partition_by=_BY_RUN,
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _tenant(),
    _id("run_id"),
    _integer("step_index", required=False),
    _text("old"),
    _text("new", required=True),
    _text("reason", required=True),
    _time("at", required=True),
    PrimaryKeyConstraint("run_id", "id"),
    postgresql_partition_by=_BY_RUN,
)

idempotency_records = Table(
    "idempotency_records",
    metadata,
    _tenant(),
    _text("tool", required=True),
    _text("key", required=True),
    _integer("generation", 1),
    _id("run_id"),
    _integer("step_index"),
    Column("args_hash", LargeBinary, nullable=False),
    _text("status", required=True),
    Column("output", JSON),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    PrimaryKeyConstraint("tenant", "tool", "key", "generation"),
    Index("idempotency_records_by_step", "run_id", "step_index"),
)

outbox = Table(
    "outbox",
    metadata,
    _id("message_id"),
    _tenant(),
    _id("run_id"),
    _integer("step_index"),
    _integer("item"),
    _text("kind", required=True),
    Column("payload", JSON, nullable=False),
    _text("status", required=True, default="pending"),
    _text("effect", required=True, default="unsafe"),
    _integer("attempt", 0),
    Column("failures", JSONB, nullable=False, server_default="{}"),
    _id("claim_token", required=False),
    _id("worker_id", required=False),
    _integer("worker_pid", required=False),
    _time("lease_until"),
    _time("next_attempt_at", required=True),
    Column("error", JSON),
    Column("response", JSON),
    _time("sent_at"),
    _time("created_at", required=True),
    _time("updated_at", required=True),
    PrimaryKeyConstraint("message_id", "run_id"),
    UniqueConstraint("run_id", "step_index", "item", name="outbox_item"),
    Index("outbox_open", "status", "created_at", postgresql_where=text("status not in ('sent', 'failed')")),
    Index("outbox_due", "kind", "next_attempt_at", "created_at", postgresql_where=text("status = 'pending'")),
    Index("outbox_leased", "lease_until", postgresql_where=text("status in ('claimed', 'sending')")),
    postgresql_partition_by=_BY_RUN,
)

approvals = Table(
    "approvals",
    metadata,
    _id("approval_id"),
    _tenant(),
    _id("run_id"),
    _integer("step_index"),
    _text("kind", required=True),
    _text("tool", required=True),
    Column("args_hash", LargeBinary, nullable=False),
    Column("asked", JSON, nullable=False),
    _text("status", required=True, default="pending"),
    _time("asked_at", required=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _time("decided_at"),
    _text("decided_by"),
    _text("reason"),
    Column("answer", JSON),
    _time("used_at"),
    PrimaryKeyConstraint("approval_id", "run_id"),
    UniqueConstraint("run_id", "step_index", name="approvals_step"),
    Index("approvals_open", "tenant", "asked_at", postgresql_where=text("status = 'pending'")),
    postgresql_partition_by=_BY_RUN,
)

interventions = Table(
    "interventions",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _tenant(),
    _id("run_id"),
    _integer("step_index", required=False),
    _text("act", required=True),
    _text("done_by", required=True),
    _text("reason"),
    Column("details", JSON),
    _time("at", required=True),
    PrimaryKeyConstraint("run_id", "id"),
    postgresql_partition_by=_BY_RUN,
)

conversations = Table(
    "conversations",
    metadata,
    _tenant(),
    _text("conversation_id", required=True),
    _id("turn_run_id", required=False),
    _time("updated_at", required=True),
    PrimaryKeyConstraint("tenant", "conversation_id"),
)

agents = Table(
    "agents",
    metadata,
    _text("name", required=True),
    _text("version", required=True),
    _text("kind", required=True),
    _text("queue", required=True),
    Column("queues", ARRAY(Text), nullable=False),
    Column("input_schema", JSONB, nullable=False),
    Column("budget", JSONB, nullable=False),
    Column("tools", JSONB, nullable=False),
    Column("model", JSONB),
    _text("fallback", required=True, default="fail"),
    _text("on_failure", required=True, default="keep"),
    _time("registered_at", required=True),
    PrimaryKeyConstraint("name", "version"),
)

workers = Table(
    "workers",
    metadata,
    _id("worker_id"),
    _text("hostname", required=True),
    _integer("pid"),
    _text("pool", required=True),
    Column("queues", ARRAY(Text), nullable=False),
    Column("agents", JSONB, nullable=False),
    _time("started_at", required=True),
    _time("heartbeat_at", required=True),
    _time("unbroken_since", required=True),
    _flag("draining"),
    _time("stopped_at"),
    PrimaryKeyConstraint("worker_id"),
    Index("workers_alive", "heartbeat_at", postgresql_where=text("stopped_at is null")),
)

turns = Table(
    "turns",
    metadata,
    _text("name", required=True),
    _id("holder"),
    _time("held_until", required=True),
    PrimaryKeyConstraint("name"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _tenant(),
    _text("cause", required=True),
    _text("topic", required=True, default=""),
    _id("run_id", required=False),
    _integer("step_index", required=False),
    _text("message", required=True),
    _integer("count", 1),
    _time("first_at", required=True),
    _time("last_at", required=True),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("tenant", "cause", name="alerts_cause"),
    Index("alerts_by_topic", "tenant", "topic", "last_at"),
    Index("alerts_by_time", "last_at"),
)

pages = Table(
    "pages",
    metadata,
    _tenant(),
    _text("topic", required=True),
    _time("paged_at"),
    _time("leased_until"),
    _integer("tries", 0),
    Column("taken_by", ARRAY(Text), nullable=False, server_default="{}"),
    PrimaryKeyConstraint("tenant", "topic"),
)

holds = Table(
    "holds",
    metadata,
    _text("bulkhead", required=True),
    _text("reason", required=True),
    _text("held_by", required=True),
    _time("held_at", required=True),
    PrimaryKeyConstraint("bulkhead"),
)

credentials = Table(
    "credentials",
    metadata,
    _text("name", required=True),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    _time("refreshed_at"),
    _id("refreshing_by", required=False),
    _time("refreshing_until"),
    _text("error"),
    PrimaryKeyConstraint("name"),
)
