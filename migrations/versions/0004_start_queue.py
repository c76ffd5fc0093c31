"""A run is started from the queue of its first step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column that older code need not know: a run without it is started from the coordinator's queue."""
    op.add_column("agent_runs", sa.Column("start_queue", sa.Text))
