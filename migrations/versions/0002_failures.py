"""What calls that fail need: reservations, fallbacks, bulkheads, holds, credentials, pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Add columns with defaults, so that workers of the version before go on beside this one."""
    op.add_column("agents", sa.Column("fallback", sa.Text, nullable=False, server_default="fail"))
    op.add_column("agents", sa.Column("model", JSONB))
    op.add_column("agent_runs", sa.Column("fallback", sa.Text, nullable=False, server_default="fail"))
    for table in ("agent_runs", "agent_steps"):
        op.add_column(table, sa.Column("reserved_tokens", sa.BigInteger, nullable=False, server_default="0"))
        op.add_column(table, sa.Column("reserved_cost_usd", sa.Numeric(18, 9), nullable=False, server_default="0"))
    op.add_column("agent_steps", sa.Column("bulkhead", sa.Text))
    op.add_column("model_calls", sa.Column("error", sa.JSON))
    op.create_index(
        "agent_steps_parked",
        "agent_steps",
        ["bulkhead", "next_attempt_at"],
        postgresql_where=sa.text("status = 'pending' and waiting_reason is not null"),
    )
    op.create_index(
        "agent_steps_due",
        "agent_steps",
        ["next_attempt_at"],
        postgresql_where=sa.text("status = 'pending' and next_attempt_at is not null"),
    )
    op.add_column("alerts", sa.Column("topic", sa.Text, nullable=False, server_default=""))
    op.execute("update alerts set topic = cause")
    op.create_index("alerts_by_topic", "alerts", ["tenant", "topic", "last_at"])
    op.create_index("alerts_by_time", "alerts", ["last_at"])
    _create_pages()
    _create_holds()
    _create_credentials()
    op.execute(_LLM_CALLS)


def _create_pages() -> None:
    op.create_table(
        "pages",
        sa.Column("tenant", sa.Text, nullable=False, server_default="default"),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("paged_at", sa.DateTime(timezone=True)),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("taken_by", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("tenant", "topic"),
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("bulkhead", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("held_by", sa.Text, nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.PrimaryKeyConstraint("bulkhead"),
    )


def _create_credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("refreshed_at", sa.DateTime(timezone=True)),
        sa.Column("refreshing_by", sa.UUID(as_uuid=False)),
        sa.Column("refreshing_until", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("name"),
    )


_LLM_CALLS = """
    create or replace view llm_calls as
    select c.tenant, c.run_id, c.step_index, c.attempt, c.model, c.response_model, c.prompt_tokens, c.completion_tokens,
        c.cost_usd as cost, c.latency_ms, prompt_messages(c.tenant, c.prompt_head) as prompt, c.response,
        c.response -> 'tool_calls' as tool_calls, c.finish_reason, c.created_at, c.error
    from model_calls c
"""
