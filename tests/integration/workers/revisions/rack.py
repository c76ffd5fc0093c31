"""The second release: a rack in the shelf's place. Expand: both are there, and code of either release is served."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from alembic import op

revision = "rack"
down_revision = "shelf"

_BATCH = 50
_PAUSE_S = 0.02
_FILL = sa.text("""
    update agent_steps s set rack = 'rack of ' || s.shelf
    from (
        select run_id, step_index from agent_steps where rack is null limit :most for update skip locked
    ) as batch
    where s.run_id = batch.run_id and s.step_index = batch.step_index
""")
_EMPTY = sa.text("select exists (select from agent_steps where rack is null)")
_FOLLOW = """
    create or replace function set_rack() returns trigger language plpgsql as $$
    begin new.rack := coalesce(new.rack, 'rack of ' || new.shelf); return new; end $$
"""
_TRIGGER = """
    create or replace trigger set_rack before insert on agent_steps for each row execute function set_rack()
"""
_CHECK = "alter table agent_steps add constraint agent_steps_rack check (rack is not null) not valid"


def upgrade() -> None:
    """Add a column that is filled for older code too, fill it in batches, and only then demand it."""
    op.execute("alter table agent_steps add column if not exists rack text")
    op.execute(_FOLLOW)
    op.execute(_TRIGGER)
    with op.get_context().autocommit_block():
        _fill()
    op.execute("alter table agent_steps drop constraint if exists agent_steps_rack")
    op.execute(_CHECK)
    with op.get_context().autocommit_block():
        op.execute("alter table agent_steps validate constraint agent_steps_rack")


def _fill() -> None:
    """Fill the column, some rows at a time, and without a wait for those that others are at."""
    connection = op.get_bind()
    while connection.execute(_EMPTY).scalar_one():
        connection.execute(_FILL, {"most": _BATCH})
        threading.Event().wait(_PAUSE_S)
