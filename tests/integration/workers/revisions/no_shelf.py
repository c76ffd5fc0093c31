"""The third release: no shelf any more. Contract: code of the first release is not served from here on."""

from __future__ import annotations

from alembic import op

revision = "no_shelf"
down_revision = "rack"


def upgrade() -> None:
    """Take away what only the code of the first release wants."""
    op.execute("drop trigger set_rack on agent_steps")
    op.execute("drop function set_rack")
    op.execute("alter table agent_steps alter column rack set default 'no rack'")
    op.drop_column("agent_steps", "shelf")
