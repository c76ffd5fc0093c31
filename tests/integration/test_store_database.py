from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from agentflow.domain.errors import DatabaseUnavailable
from agentflow.store.database import Database, Transaction, is_passing, probe_engine
from agentflow.testing import Harness

RUN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def database(agentflow: Harness) -> Iterator[Database]:
    with probe_engine(agentflow.database.url).begin() as connection:
        connection.execute(text("create table slips (id int primary key, n int default 0)"))
    yield agentflow.database
    with probe_engine(agentflow.database.url).begin() as connection:
        connection.execute(text("drop table slips"))


def insert(tx: Transaction, *numbers: int) -> None:
    for number in numbers:
        tx.connection.execute(text("insert into slips values (:id)"), {"id": number})


def count(database: Database) -> int:
    with database.transaction() as tx:
        return int(tx.connection.execute(text("select count(*) from slips")).scalar_one())


def failing(tx: Transaction, sqlstate: str) -> None:
    tx.connection.exec_driver_sql(f"do $$ begin raise exception 'no' using errcode = '{sqlstate}'; end $$")


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57P01"])
def test_a_passing_failure_runs_the_whole_body_again(database: Database, sqlstate: str) -> None:
    tries: list[int] = []

    def body(tx: Transaction) -> str:
        tries.append(len(tries))
        insert(tx, 1)
        if len(tries) < 3:
            failing(tx, sqlstate)
        return "done"

    assert database.atomically(body) == "done"
    assert (len(tries), count(database)) == (3, 1)


def prepared_names(database: Database) -> set[str]:
    with database.transaction() as tx:
        found = tx.connection.exec_driver_sql("select name from pg_prepared_statements")
        return set(found.scalars())


def test_what_is_asked_often_is_prepared_once_on_a_connection(database: Database) -> None:
    for _ in range(3):
        assert database.atomically(lambda tx: tx.row("lock_run", run_id=RUN)) is None
        assert database.glance(lambda tx: tx.rows("read_steps", run_id=RUN)) == []

    assert prepared_names(database) == {"lock_run", "read_steps"}


def test_nothing_is_prepared_where_connections_are_lent_for_a_transaction(database: Database) -> None:
    lent = Database(database.url, pool=1, prepare=False)

    assert lent.atomically(lambda tx: tx.row("lock_run", run_id=RUN)) is None

    assert prepared_names(lent) == set()
    lent.close()


@pytest.mark.parametrize("look", ["atomically", "glance"])
def test_a_first_call_that_fails_leaves_a_connection_that_can_prepare(database: Database, look: str) -> None:
    one = Database(database.url, pool=1)
    with pytest.raises(DBAPIError):
        getattr(one, look)(lambda tx: tx.row("lock_run", run_id="no id"))

    for _ in range(2):
        assert getattr(one, look)(lambda tx: tx.row("lock_run", run_id=RUN)) is None

    assert prepared_names(one) == {"lock_run"}
    one.close()


def test_a_body_that_fails_before_it_says_anything_leaves_the_clearing_up_to_the_next(database: Database) -> None:
    one = Database(database.url, pool=1)
    with pytest.raises(DBAPIError):
        one.atomically(lambda tx: tx.row("lock_run", run_id="no id"))

    def give_up(_: Transaction) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        one.atomically(give_up)

    assert one.atomically(lambda tx: tx.row("lock_run", run_id=RUN)) is None
    assert prepared_names(one) == {"lock_run"}
    one.close()


@pytest.mark.parametrize("look", ["atomically", "glance"])
def test_a_migration_that_changes_a_column_beneath_a_prepared_statement_is_not_noticed(
    agentflow_database_url: str, look: str
) -> None:
    one = Database(agentflow_database_url, pool=1)
    asked = getattr(one, look)
    assert asked(lambda tx: tx.row("read_run", run_id=RUN)) is None
    with probe_engine(one.url).begin() as connection:
        connection.execute(text("alter table agentflow.agent_runs alter current_step type bigint"))

    assert asked(lambda tx: tx.row("read_run", run_id=RUN)) is None
    assert asked(lambda tx: tx.row("read_run", run_id=RUN)) is None
    assert prepared_names(one) == {"read_run"}
    one.close()


def test_what_was_not_prepared_before_a_failure_goes_on_without(database: Database) -> None:
    def body(tx: Transaction) -> object:
        savepoint = tx.connection.begin_nested()
        with pytest.raises(DBAPIError):
            tx.row("lock_run", run_id="no id")
        savepoint.rollback()
        return tx.row("lock_run", run_id=RUN)

    assert database.atomically(body) is None
    assert database.atomically(body) is None


@pytest.mark.parametrize("sqlstate", ["23505", "22P02", "42601", "P0001"])
def test_any_other_failure_is_raised_at_once_and_leaves_nothing(database: Database, sqlstate: str) -> None:
    tries: list[int] = []

    def body(tx: Transaction) -> None:
        tries.append(1)
        insert(tx, 1)
        failing(tx, sqlstate)

    with pytest.raises(DBAPIError):
        database.atomically(body)
    assert (len(tries), count(database)) == (1, 0)


def test_an_error_of_the_bodys_own_leaves_nothing(database: Database) -> None:
    def body(tx: Transaction) -> None:
        insert(tx, 1)
        raise LookupError

    with pytest.raises(LookupError):
        database.atomically(body)
    assert count(database) == 0


def test_patience_ends_with_the_failure_itself(database: Database) -> None:
    with pytest.raises(DBAPIError) as raised:
        database.atomically(lambda tx: failing(tx, "40001"), patience_s=0.2)

    assert is_passing(raised.value)


def test_a_connection_that_was_cut_in_a_transaction_is_replaced(database: Database) -> None:
    tries: list[int] = []

    def body(tx: Transaction) -> None:
        insert(tx, 1)
        tries.append(1)
        if len(tries) == 1:
            tx.connection.exec_driver_sql("select pg_terminate_backend(pg_backend_pid())")

    database.atomically(body)

    assert (len(tries), count(database)) == (2, 1)


def test_connections_that_were_cut_while_they_rested_are_replaced(database: Database) -> None:
    together = Barrier(3)

    def body(tx: Transaction) -> None:
        tx.connection.exec_driver_sql("select 1")
        together.wait()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: database.atomically(body), range(3)))
    with probe_engine(database.url).connect() as other:
        other.execute(
            text(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        )

    assert database.atomically(lambda tx: tx.connection.execute(text("select 7")).scalar()) == 7


def test_two_transactions_in_a_deadlock_both_get_through(database: Database) -> None:
    both = Barrier(2)
    database.atomically(lambda tx: insert(tx, 1, 2))

    def add(first: int, second: int) -> None:
        held: list[bool] = []

        def body(tx: Transaction) -> None:
            tx.connection.exec_driver_sql("set local deadlock_timeout = '20ms'")
            tx.connection.exec_driver_sql("update slips set n = n + 1 where id = %s", (first,))
            if not held:
                held.append(True)
                both.wait()
            tx.connection.exec_driver_sql("update slips set n = n + 1 where id = %s", (second,))

        database.atomically(body)

    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(add, 1, 2), threads.submit(add, 2, 1)]:
            each.result()

    assert database.atomically(lambda tx: tx.connection.execute(text("select sum(n) from slips")).scalar()) == 4


def test_a_database_that_is_not_there_is_unavailable_without_its_password(database: Database) -> None:
    nowhere = Database("postgresql+psycopg2://u:s3cret@127.0.0.1:1/d")

    with pytest.raises(DatabaseUnavailable, match="the database does not answer") as raised:
        nowhere.atomically(lambda tx: None, patience_s=0)

    assert "s3cret" not in str(raised.value)


def test_a_unique_violation_is_the_callers_to_see(database: Database) -> None:
    with pytest.raises(IntegrityError):
        database.atomically(lambda tx: insert(tx, 1, 1))


def test_every_wait_on_the_servers_side_is_bounded(database: Database) -> None:
    def body(tx: Transaction) -> list[str]:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [str(tx.connection.exec_driver_sql(f"show {name}").scalar()) for name in names]

    assert database.atomically(body) == ["5s", "30s", "15s"]


def insert_and_fail(tx: Transaction) -> None:
    insert(tx, 2)
    raise RuntimeError


def test_a_glance_stands_for_itself_and_leaves_a_connection_that_begins_transactions(database: Database) -> None:
    database.glance(lambda tx: insert(tx, 1))

    with pytest.raises(RuntimeError):
        database.atomically(insert_and_fail)

    assert count(database) == 1


def test_a_glance_that_fails_leaves_the_connection_as_usable_as_before(database: Database) -> None:
    with pytest.raises(IntegrityError):
        database.glance(lambda tx: insert(tx, 1, 1))

    with pytest.raises(RuntimeError):
        database.atomically(insert_and_fail)

    assert count(database) == 1


def test_a_glance_over_a_connection_that_was_cut_is_taken_again(database: Database) -> None:
    cut = ["select pg_terminate_backend(pg_backend_pid())"]

    def body(tx: Transaction) -> int:
        if cut:
            tx.connection.exec_driver_sql(cut.pop())
        return int(tx.connection.execute(text("select 7")).scalar_one())

    assert database.glance(body) == 7
