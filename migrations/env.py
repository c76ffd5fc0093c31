"""How a migration runs: on the connection of `agentflow.store.schema`, inside one schema, one at a time."""

from __future__ import annotations

from alembic import context

from agentflow.store.tables import metadata

connection = context.config.attributes["connection"]
schema: str = context.config.attributes["schema"]

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table="schema_version",
    version_table_schema=schema,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
