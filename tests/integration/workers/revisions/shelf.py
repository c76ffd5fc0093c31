"""The first release: each step has a shelf."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "shelf"
down_revision = "0005"


def upgrade() -> None:
    """Add a column that older code need not know."""
    op.add_column("agent_steps", sa.Column("shelf", sa.Text, nullable=False, server_default="the first"))
