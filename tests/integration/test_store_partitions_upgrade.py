"""The upgrade that puts partitioned tables in the place of plain ones: no row written anew, nobody kept waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from agentflow.domain.errors import ConfigError, DatabaseUnavailable
from agentflow.store import schema
from agentflow.store.database import probe_engine
from agentflow.store.partitions import TABLES
from agentflow.testing import Harness
from tests.integration.asked import begun, refunding
from tests.integration.months import begin_at_0004, count, going_on, looking, submitting_of_0004, suffixes
from tests.integration.workers.waiting import until


@pytest.fixture
def url_at_0004(agentflow_database_url: str, tmp_path: Path) -> str:
    begin_at_0004(agentflow_database_url, tmp_path)
    return agentflow_database_url


@pytest.fixture
def harness(url_at_0004: str) -> Iterator[Harness]:
    made = Harness(url_at_0004)
    yield made
    made.close()


def test_the_tables_of_the_revision_before_become_the_first_partition_with_all_their_rows(
    url_at_0004: str, harness: Harness
) -> None:
    fill(harness)
    before = contents(url_at_0004)
    written = files(url_at_0004, "{}")

    assert schema.upgrade(url_at_0004, "agentflow") == schema.head()

    first = suffixes(url_at_0004)[0]
    assert files(url_at_0004, f"{{}}_{first}") == written, "rows were written anew"
    assert contents(url_at_0004) == before
    assert not harness.client.submit("looking", None, idempotency_key="of 0004").created
    assert harness.run(looking, None).status == "done"


def test_an_upgrade_leaves_everybody_what_they_were_granted(url_at_0004: str) -> None:
    with probe_engine(url_at_0004).begin() as connection:
        connection.execute(text("grant select, insert on agentflow.agent_runs to public"))

    schema.upgrade(url_at_0004, "agentflow")

    query = text(
        "select privilege_type from information_schema.role_table_grants where grantee = 'PUBLIC' "
        "and table_name = :table"
    )
    with probe_engine(url_at_0004).connect() as connection:
        granted = [set(connection.execute(query, {"table": table}).scalars()) for table in ("agent_runs", "run_keys")]
    assert granted == [{"INSERT", "SELECT"}, {"SELECT"}]


def test_runs_go_on_while_their_tables_become_partitioned(url_at_0004: str, harness: Harness) -> None:
    with going_on(url_at_0004) as ended:
        until(lambda: ended, "a run's end before the upgrade")
        schema.upgrade(url_at_0004, "agentflow")
        most = len(ended)
        until(lambda: len(ended) > most + 9, "runs on the partitioned tables")

    assert set(ended) == {"done"}
    assert count(url_at_0004, "agent_runs") == len(ended)
    assert count(url_at_0004, "run_keys") == len(ended)


def test_clients_of_the_release_before_double_nothing_while_the_keys_move(url_at_0004: str) -> None:
    with submitting_of_0004(url_at_0004, keys=300) as came:
        until(lambda: sum(map(bool, came.values())) > 30, "keys used before the upgrade")
        schema.upgrade(url_at_0004, "agentflow")
        until(lambda: all(came.values()), "all keys used")

    assert {key for key, run_ids in came.items() if len(run_ids) > 1} == set()
    kept = "select run_id::text from agentflow.run_keys order by idempotency_key"
    with probe_engine(url_at_0004).connect() as connection:
        assert set(connection.execute(text(kept)).scalars()) == set.union(*came.values())
    assert count(url_at_0004, "agent_runs") == 300


def test_an_upgrade_that_was_given_up_half_way_is_taken_up_again(url_at_0004: str, harness: Harness) -> None:
    fill(harness)
    before = contents(url_at_0004)
    with probe_engine(url_at_0004).connect() as other:
        other.execute(text("lock table agentflow.interventions in access share mode"))
        with pytest.raises(DatabaseUnavailable, match="'0005' found no moment"):
            schema.upgrade(url_at_0004, "agentflow", patience_s=0.1)

    schema.upgrade(url_at_0004, "agentflow")

    assert contents(url_at_0004) == before


def test_an_upgrade_refuses_ids_whose_time_is_years_ahead_and_names_one(url_at_0004: str, harness: Harness) -> None:
    with probe_engine(url_at_0004).begin() as connection:
        connection.execute(
            text("""insert into agentflow.agent_runs (run_id, agent, agent_version, queue, input_payload, input_hash)
            values ('f0000000-0000-4000-8000-000000000000', 'a', '1', 'q', '{}', '')""")
        )

    with pytest.raises(ConfigError, match=r"the run f0000000-.* has an id whose time is years ahead"):
        schema.upgrade(url_at_0004, "agentflow")


def test_an_upgrade_refuses_a_reference_of_somebody_elses_table_and_names_it(url_at_0004: str) -> None:
    with probe_engine(url_at_0004).begin() as connection:
        connection.execute(text("create table orders (run_id uuid references agentflow.agent_runs)"))

    with pytest.raises(ConfigError, match=r"'orders_run_id_fkey' of the table .*orders' refers to 'agent_runs'"):
        schema.upgrade(url_at_0004, "agentflow")


def fill(harness: Harness) -> None:
    """Leave a run that has ended, and one that waits for a person."""
    harness.run(looking, None, idempotency_key="of 0004")
    begun(refunding(harness))


def contents(url: str) -> Mapping[str, Sequence[str]]:
    """Return every row of every table that is partitioned, as text."""
    with probe_engine(url).connect() as connection:
        return {
            table: sorted(connection.execute(text(f"select to_jsonb(t)::text from agentflow.{table} t")).scalars())
            for table in TABLES
        }


def files(url: str, name: str) -> Sequence[int]:
    """Return the files that hold the tables of these names."""
    query = text("select pg_relation_filenode(to_regclass(:name))")
    with probe_engine(url).connect() as connection:
        return [connection.execute(query, {"name": f"agentflow.{name.format(table)}"}).scalar_one() for table in TABLES]
