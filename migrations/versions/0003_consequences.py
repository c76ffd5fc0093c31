"""What consequences need: verification, compensation, people, operators' acts, deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Add columns with defaults, so that workers of the version before go on beside this one."""
    op.add_column("agents", sa.Column("on_failure", sa.Text, nullable=False, server_default="keep"))
    _widen_runs()
    _widen_steps()
    _widen_outbox()
    _create_approvals()
    _create_interventions()


def _widen_runs() -> None:
    op.add_column("agent_runs", sa.Column("on_failure", sa.Text, nullable=False, server_default="keep"))
    op.add_column("agent_runs", sa.Column("ending", sa.JSON))
    op.add_column("agent_runs", sa.Column("compensation", sa.Text))
    op.add_column("agent_runs", sa.Column("overrides", sa.JSON))
    op.add_column("agent_runs", sa.Column("forked_from", sa.UUID(as_uuid=False)))
    op.add_column("agent_runs", sa.Column("notify", sa.JSON))


def _widen_steps() -> None:
    op.add_column("agent_steps", sa.Column("subject_index", sa.Integer))
    op.add_column("agent_steps", sa.Column("subject_tool", sa.Text))
    op.add_column("agent_steps", sa.Column("person", sa.Text))
    op.add_column("agent_steps", sa.Column("settle_s", sa.Double))
    op.add_column("agent_steps", sa.Column("verify_after", sa.Boolean, nullable=False, server_default="false"))
    op.add_column("agent_steps", sa.Column("unconfirmed", sa.JSON))
    op.add_column("agent_steps", sa.Column("noted", sa.JSON))
    op.add_column("agent_steps", sa.Column("key_generation", sa.Integer, nullable=False, server_default="1"))
    # What waits for a time or a person is found by that time, without a look at all the others.
    op.drop_index("agent_steps_pending", "agent_steps")
    op.create_index(
        "agent_steps_pending",
        "agent_steps",
        ["hinted_at"],
        postgresql_where=sa.text("status = 'pending' and next_attempt_at is null"),
    )


def _widen_outbox() -> None:
    op.add_column("outbox", sa.Column("effect", sa.Text, nullable=False, server_default="unsafe"))
    op.add_column("outbox", sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("failures", JSONB, nullable=False, server_default="{}"))
    op.add_column("outbox", sa.Column("claim_token", sa.UUID(as_uuid=False)))
    op.add_column("outbox", sa.Column("worker_id", sa.UUID(as_uuid=False)))
    op.add_column("outbox", sa.Column("worker_pid", sa.Integer))
    op.add_column("outbox", sa.Column("lease_until", sa.DateTime(timezone=True)))
    op.add_column(
        "outbox", sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW)
    )
    op.add_column("outbox", sa.Column("error", sa.JSON))
    op.add_column("outbox", sa.Column("response", sa.JSON))
    op.add_column("outbox", sa.Column("sent_at", sa.DateTime(timezone=True)))
    op.execute("update outbox set effect = 'keyed' where kind = 'webhook'")
    op.create_index(
        "outbox_due",
        "outbox",
        ["kind", "next_attempt_at", "created_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "outbox_leased", "outbox", ["lease_until"], postgresql_where=sa.text("status in ('claimed', 'sending')")
    )


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False, server_default="default"),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("args_hash", sa.LargeBinary, nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="pending"),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("answer", sa.JSON),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("approval_id"),
        sa.UniqueConstraint("run_id", "step_index", name="approvals_step"),
    )
    op.create_index(
        "approvals_open", "approvals", ["tenant", "asked_at"], postgresql_where=sa.text("status = 'pending'")
    )


def _create_interventions() -> None:
    op.create_table(
        "interventions",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False, server_default="default"),
        sa.Column("run_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("step_index", sa.Integer),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("done_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("details", sa.JSON),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("interventions_by_run", "interventions", ["run_id", "id"])
