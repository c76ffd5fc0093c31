"""How a migration runs: on the connection of `agentflow.store.schema`, in one schema, in its own transaction."""

from __future__ import annotations

from collections.abc import Collection

from alembic import context
from alembic.runtime.migration import MigrationContext

from agentflow.store.revisions import VERSION_TABLE, note_served
from agentflow.store.tables import metadata

connection = context.config.attributes["connection"]
schema: str = context.config.attributes["schema"]


def note(*, ctx: MigrationContext, heads: Collection[str], **_: object) -> None:
    """Write down whose code is served, with the revision itself."""
    assert ctx.connection is not None
    for revision in heads:
        note_served(ctx.connection, schema, revision)


context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=schema,
    transactional_ddl=True,
    transaction_per_migration=True,
    on_version_apply=note,  # type: ignore[arg-type]  # it is called by name
)
with context.begin_transaction():
    context.run_migrations()
