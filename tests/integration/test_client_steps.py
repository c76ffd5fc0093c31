"""What a client is shown of a run's steps is one moment, whatever commits while they are read."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from agentflow import Context, Pipeline, tool
from agentflow.store.database import Transaction
from agentflow.testing import Harness
from tests.integration.hands import Hands


@tool(effect="read")
def look(ctx: Context) -> str:
    return "seen"


looking = Pipeline("looking", [look])


def test_a_step_and_its_attempts_agree_where_a_record_commits_between_their_reads(agentflow: Harness) -> None:
    hands = Hands(agentflow, looking)
    claim = hands.claim(hands.begin(looking))
    engine = agentflow.client.database.engine
    read: list[str] = []

    def record(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        read.append(statement)
        if len(read) == 1:
            hands.record(claim)

    event.listen(engine, "after_cursor_execute", record)
    try:
        [before] = agentflow.client.steps(claim.run.run_id)
    finally:
        event.remove(engine, "after_cursor_execute", record)

    assert "attempts" in read[0]
    assert (before.status, before.tries[0]["ended_at"]) == ("running", None)
    [after] = agentflow.client.steps(claim.run.run_id)
    assert (after.status, after.tries[0]["ended_at"] is None) == ("ok", False)


def test_a_connection_that_a_survey_has_used_writes_again(agentflow: Harness) -> None:
    database = agentflow.database
    shown = "select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as only"

    def mode(tx: Transaction) -> tuple[str, str]:
        return tuple(tx.connection.exec_driver_sql(shown).one())

    assert database.survey(mode) == ("repeatable read", "on")
    assert database.atomically(mode) == ("read committed", "off")
