from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, text

from agentflow import Pipeline, tool
from agentflow.domain.errors import DatabaseUnavailable, SchemaOutdated
from agentflow.store import schema
from agentflow.store.database import probe_engine
from agentflow.store.statements import Statements
from agentflow.store.tables import metadata
from agentflow.testing import Harness

STATEMENTS = Statements.load("agentflow").by_name
PREPARED = Statements.load("agentflow").prepared
# What is no query cannot be prepared; running it shows as much.
COMMANDS = {"check_constraints"}


def differences(url: str, known: MetaData) -> list[object]:
    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name not in partitions

    engine = create_engine(url, connect_args={"options": "-c search_path=agentflow"})
    with engine.connect() as connection:
        # Each of them is as its parent is, or Postgres would not have it.
        query = "select relname from pg_class where relispartition and relnamespace = 'agentflow'::regnamespace"
        partitions = {"schema_version", *connection.execute(text(query)).scalars()}
        options = {"include_name": ours, "compare_type": True}
        found = list(compare_metadata(MigrationContext.configure(connection, opts=options), known))
    engine.dispose()
    return found


def test_the_migrations_make_the_tables_that_the_code_knows(shared_database_url: str) -> None:
    assert differences(shared_database_url, metadata) == []


def test_a_table_that_no_migration_makes_would_be_noticed(shared_database_url: str) -> None:
    more = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(more)
    Table("forgotten", more, Column("id", Integer, primary_key=True))

    [difference] = differences(shared_database_url, more)

    assert "add_table" in repr(difference)
    assert "forgotten" in repr(difference)


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_prepares_against_the_migrated_schema(shared_database_url: str, name: str) -> None:
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    query = re.sub(r"%\((\w+)\)s", number, STATEMENTS[name])
    with probe_engine(shared_database_url).connect() as connection:
        connection.exec_driver_sql(query if name in COMMANDS else f"prepare checked as {query}")


@pytest.mark.parametrize("name", sorted(PREPARED))
def test_a_statement_that_is_asked_often_is_prepared_as_it_is_declared(shared_database_url: str, name: str) -> None:
    with probe_engine(shared_database_url).connect() as connection:
        connection.exec_driver_sql(PREPARED[name].definition)
        query = "select array_length(parameter_types, 1) from pg_prepared_statements where name = %s"
        known = connection.exec_driver_sql(query, (name,)).scalar_one()

    assert known == len(PREPARED[name].parameters)


def test_a_schema_may_have_another_name_and_be_made_by_several_at_once(
    agentflow_database_url: str,
) -> None:
    with ThreadPoolExecutor(3) as threads:
        revisions = set(threads.map(lambda _: schema.upgrade(agentflow_database_url, "my_agents"), range(3)))

    assert revisions == {schema.head()}
    assert schema.check(agentflow_database_url, "my_agents") == schema.head()


def test_a_schema_that_is_not_there_says_what_to_run(shared_database_url: str) -> None:
    with pytest.raises(SchemaOutdated, match="has no schema 'elsewhere' yet: run `agentflow db upgrade`"):
        schema.check(shared_database_url, "elsewhere")


def test_a_schema_from_the_future_says_what_to_install(agentflow_database_url: str) -> None:
    with probe_engine(agentflow_database_url).begin() as connection:
        connection.execute(text("update agentflow.schema_version set version_num = '9999'"))

    with pytest.raises(SchemaOutdated, match="'9999', which this agentflow does not know: install a newer agentflow"):
        schema.check(agentflow_database_url, "agentflow")


def test_a_database_that_is_not_there_says_what_to_check() -> None:
    with pytest.raises(DatabaseUnavailable, match="check AGENTFLOW_DATABASE_URL"):
        schema.check("postgresql+psycopg2://u@127.0.0.1:1/d", "agentflow")


@tool(effect="read")
def look() -> str:
    return "seen"


def test_runs_in_a_schema_of_another_name_go_their_whole_way_and_are_seen_nowhere_else(
    agentflow_database_url: str,
) -> None:
    schema.upgrade(agentflow_database_url, "other")
    here, there = Harness(agentflow_database_url), Harness(agentflow_database_url, schema="other")

    run = there.run(Pipeline("looking", [look]), None)

    assert (run.status, [each.run_id for each in there.client.list()]) == ("done", [run.run_id])
    assert list(here.client.list()) == []
    here.close()
    there.close()
