from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session

from agentflow import Agent, Client
from agentflow.domain.errors import IdempotencyConflict, InvalidInput, SubmissionRefused
from agentflow.testing import Harness, scripted
from tests.integration.hands import Hands

clerk = Agent("clerk", model="openai:gpt-4o-mini")


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return Hands(agentflow, clerk, model=scripted("done"))


@pytest.fixture
def client(hands: Hands) -> Client:
    return hands.harness.client


@pytest.fixture
def engine(agentflow: Harness) -> Iterator[Engine]:
    """The caller's own engine on the shared database."""
    engine = create_engine(agentflow.database.url)
    yield engine
    engine.dispose()


@pytest.fixture
def raw(agentflow: Harness) -> Iterator[Any]:
    url = make_url(agentflow.database.url).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    yield connection
    connection.close()


def exists(hands: Hands, run_id: str) -> bool:
    return bool(hands.value("select count(*) from agentflow.agent_runs where run_id = %(id)s", id=run_id))


def hinted(hands: Hands) -> list[str]:
    found = []
    while hint := hands.harness.hints.take():
        found.append(hint.run_id)
    return found


def test_a_run_submitted_in_a_session_exists_once_it_commits_and_is_hinted_then(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session:
        run_id = client.submit("clerk", "x", session=session).run_id
        assert (exists(hands, run_id), hinted(hands)) == (False, [])
        session.commit()

    assert (exists(hands, run_id), hinted(hands)) == (True, [run_id])


def test_a_run_submitted_in_a_session_that_rolls_back_never_was(hands: Hands, client: Client, engine: Engine) -> None:
    with Session(engine) as session:
        run_id = client.submit("clerk", "x", session=session).run_id
        session.rollback()

    assert (exists(hands, run_id), hinted(hands)) == (False, [])


def test_a_session_that_is_used_again_after_a_rollback_hints_only_what_it_commits(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session:
        client.submit("clerk", "x", session=session)
        session.rollback()
        kept = client.submit("clerk", "y", session=session).run_id
        session.commit()
        session.execute(text("select 1"))
        session.commit()

    assert hinted(hands) == [kept]


def test_every_run_of_one_transaction_is_hinted_once(hands: Hands, client: Client, engine: Engine) -> None:
    with Session(engine) as session:
        run_ids = [client.submit("clerk", "x", session=session).run_id for _ in range(3)]
        session.commit()
        more = client.submit("clerk", "x", session=session).run_id
        session.commit()

    assert sorted(hinted(hands)) == [*run_ids, more]


def test_a_session_that_is_closed_without_a_commit_hints_nothing(hands: Hands, client: Client, engine: Engine) -> None:
    session = Session(engine)
    client.submit("clerk", "x", session=session)
    session.close()
    session.execute(text("select 1"))
    session.commit()
    session.close()

    assert hinted(hands) == []


def test_a_run_submitted_in_a_savepoint_is_hinted_at_the_outermost_commit(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session:
        with session.begin_nested():
            run_id = client.submit("clerk", "x", session=session).run_id
        assert hinted(hands) == []
        session.commit()

    assert (exists(hands, run_id), hinted(hands)) == (True, [run_id])


def test_a_run_whose_savepoint_is_kept_and_whose_transaction_is_not_never_was(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session:
        with session.begin_nested():
            run_id = client.submit("clerk", "x", session=session).run_id
        session.rollback()

    assert (exists(hands, run_id), hinted(hands)) == (False, [])


def test_a_run_whose_savepoint_is_rolled_back_never_was_and_others_of_its_transaction_are(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session:
        kept = client.submit("clerk", "kept", session=session).run_id
        savepoint = session.begin_nested()
        gone = client.submit("clerk", "gone", session=session).run_id
        savepoint.rollback()
        session.commit()
    hands.work()

    assert (exists(hands, gone), hands.harness.client.get(kept).status) == (False, "done")


def test_a_session_with_a_context_manager_of_its_own_hints_after_it(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with Session(engine) as session, session.begin():
        run_id = client.submit("clerk", "x", session=session).run_id

    assert hinted(hands) == [run_id]


def test_a_run_submitted_on_a_connection_exists_once_it_commits_and_is_found_by_the_sweeper(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with engine.connect() as connection:
        run_id = client.submit("clerk", "x", connection=connection).run_id
        assert not exists(hands, run_id)
        connection.commit()

    assert hands.run_row(run_id)["advance_hinted_at"] is None
    hands.work()
    assert client.get(run_id).status == "done"


def test_a_run_submitted_on_a_connection_that_rolls_back_never_was(
    hands: Hands, client: Client, engine: Engine
) -> None:
    with engine.connect() as connection:
        run_id = client.submit("clerk", "x", connection=connection).run_id
        connection.rollback()

    assert not exists(hands, run_id)


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_run_submitted_on_a_psycopg2_connection_shares_its_transaction(
    hands: Hands, client: Client, raw: Any, ending: str
) -> None:
    run_id = client.submit("clerk", {"a": "\x00"}, connection=raw, idempotency_key="k").run_id
    assert not exists(hands, run_id)
    getattr(raw, ending)()
    hands.work()

    assert exists(hands, run_id) is (ending == "commit")
    if ending == "commit":
        assert client.get(run_id).status == "done"


def test_the_callers_own_rows_and_the_run_commit_together(hands: Hands, client: Client, raw: Any) -> None:
    with raw.cursor() as cursor:
        cursor.execute("create table orders (id int)")
        cursor.execute("insert into orders values (1)")
    run_id = client.submit("clerk", "x", connection=raw).run_id
    raw.rollback()

    assert not exists(hands, run_id)
    assert hands.value("select to_regclass('orders')") is None


def test_a_key_that_was_used_before_is_found_inside_a_transaction_too(
    hands: Hands, client: Client, engine: Engine, raw: Any
) -> None:
    first = client.submit("clerk", "x", idempotency_key="k")
    hinted(hands)

    with Session(engine) as session:
        again = client.submit("clerk", "x", idempotency_key="k", session=session)
        session.commit()
    once_more = client.submit("clerk", "x", idempotency_key="k", connection=raw)
    raw.commit()

    assert {first.run_id, again.run_id, once_more.run_id} == {first.run_id}
    assert (again.created, once_more.created, hinted(hands)) == (False, False, [])


def test_a_refusal_leaves_the_callers_transaction_usable(client: Client, engine: Engine) -> None:
    client.submit("clerk", "x", idempotency_key="k")

    with Session(engine) as session:
        with pytest.raises(IdempotencyConflict):
            client.submit("clerk", "y", idempotency_key="k", session=session)
        with pytest.raises(InvalidInput):
            client.submit("clerk", float("nan"), session=session)
        assert session.execute(text("select 7")).scalar() == 7


def test_a_connection_in_autocommit_is_refused(client: Client, raw: Any) -> None:
    raw.autocommit = True

    with pytest.raises(SubmissionRefused, match="is in autocommit mode; open a transaction, or leave it out"):
        client.submit("clerk", "x", connection=raw)


def test_a_connection_of_sqlalchemy_in_autocommit_is_refused(client: Client, engine: Engine) -> None:
    refused = pytest.raises(SubmissionRefused, match="is in autocommit mode; open a transaction, or leave it out")

    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection, refused:
        client.submit("clerk", "x", connection=connection)


def test_what_is_no_connection_is_refused(client: Client, engine: Engine) -> None:
    with pytest.raises(SubmissionRefused, match="connection= is a Engine; give SQLAlchemy's Connection or a psycopg2"):
        client.submit("clerk", "x", connection=engine)


def test_a_session_and_a_connection_together_are_refused(client: Client, engine: Engine, raw: Any) -> None:
    with Session(engine) as session, pytest.raises(SubmissionRefused, match="give session= or connection=, not both"):
        client.submit("clerk", "x", session=session, connection=raw)
