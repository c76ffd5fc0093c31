"""Deleting months of runs: what goes, what has to stay, and what is left over of the runs that went."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from agentflow import Agent, Context, Notify, tool
from agentflow.domain.errors import DatabaseUnavailable
from agentflow.store import pruning
from agentflow.store.alerts import raise_alert
from agentflow.store.database import probe_engine
from agentflow.store.pruning import Held, Pruned, prune
from agentflow.testing import Harness, call, scripted
from tests.integration.asked import begun, refunding
from tests.integration.months import (
    APRIL,
    JULY,
    MARCH,
    MAY,
    count,
    going_on,
    looking,
    lying,
    make_ahead,
    submitted_at,
    suffixes,
)
from tests.integration.workers.waiting import until

pytest_plugins = ["tests.integration.month_databases"]

END_OF_APRIL = datetime(2026, 5, 1, tzinfo=UTC)


@tool(effect="keyed", key="pay:{n}")
def pay(ctx: Context, n: int) -> str:
    return f"{ctx.idempotency_key} is paid"


clerk = Agent("clerk", model="openai:gpt-4o-mini", instructions="be kind", tools=[pay])


def run_at(harness: Harness, moment: datetime, **submission: Any) -> str:
    """Run the pipeline as if it had been submitted at a time, and return the run's id."""
    with submitted_at(moment):
        run = harness.run(looking, None, **submission)
    assert run.status == "done"
    return run.run_id


def paid_at(harness: Harness, moment: datetime, n: int) -> str:
    """Run the clerk as if it had been submitted at a time: a payment, and a last word."""
    with submitted_at(moment):
        run = harness.run(clerk, f"pay {n}", model=scripted(call("pay", n=n), "done"))
    assert run.status == "done"
    return run.run_id


def prompts(harness: Harness) -> Sequence[int]:
    """Return how many messages each logged model call was asked with, as the database has them now."""
    with harness.database.transaction() as tx:
        query = "select json_array_length(prompt) from agentflow.llm_calls order by run_id, step_index"
        return list(tx.connection.exec_driver_sql(query).scalars())


def dropped(pruned: Pruned) -> list[str]:
    return [each.suffix for each in pruned.dropped]


def kept(pruned: Pruned) -> dict[str, Sequence[Held]]:
    return {each.partition.suffix: each.held for each in pruned.kept}


def age(url: str, statement: str) -> None:
    """Let what a statement is about be older than it is."""
    with probe_engine(url).begin() as connection:
        connection.execute(text(statement))


def test_months_that_were_over_before_the_time_go_with_all_that_is_theirs_and_no_others(
    own_months: str, own_harness: Harness
) -> None:
    gone = [run_at(own_harness, moment) for moment in (MARCH, APRIL)]
    stays = run_at(own_harness, MAY)

    pruned = prune(own_months, "agentflow", END_OF_APRIL)

    assert (dropped(pruned), kept(pruned)) == (["before_2026_04", "2026_04"], {})
    assert suffixes(own_months) == ["2026_05", "2026_06", "default"]
    assert [lying(own_months, run_id) for run_id in gone] == [{}, {}]
    assert own_harness.client.get(stays).status == "done"


def test_a_month_that_is_over_only_in_part_stays(own_months: str) -> None:
    pruned = prune(own_months, "agentflow", datetime(2026, 4, 30, tzinfo=UTC))

    assert (dropped(pruned), kept(pruned)) == (["before_2026_04"], {})


def test_a_survey_says_what_would_go_and_changes_nothing(own_months: str, own_harness: Harness) -> None:
    run_at(own_harness, APRIL)
    hands = refunding(own_harness)
    with submitted_at(MARCH):
        waits = begun(hands)
    before = suffixes(own_months)

    pruned = pruning.survey(own_months, "agentflow", END_OF_APRIL)

    assert (dropped(pruned), kept(pruned)) == (["2026_04"], {"before_2026_04": [Held(waits, "open")]})
    assert (suffixes(own_months), pruned.left_over) == (before, {})


def test_an_open_run_keeps_its_month_until_it_has_ended(own_months: str, own_harness: Harness) -> None:
    hands = refunding(own_harness)
    with submitted_at(APRIL):
        waits = begun(hands)

    first = prune(own_months, "agentflow", END_OF_APRIL)
    own_harness.client.operations.cancel(waits, by="ada", reason="late")
    hands.work()
    second = prune(own_months, "agentflow", END_OF_APRIL)

    assert kept(first) == {"2026_04": [Held(waits, "open")]}
    assert (dropped(second), kept(second)) == (["2026_04"], {})


def test_a_message_that_is_not_delivered_keeps_the_month_of_its_run(own_months: str, own_harness: Harness) -> None:
    told = run_at(own_harness, APRIL, notify=Notify(email="ann@example.com"))

    first = prune(own_months, "agentflow", END_OF_APRIL)
    age(own_months, "update agentflow.outbox set status = 'sent'")
    second = prune(own_months, "agentflow", END_OF_APRIL)

    assert (kept(first), dropped(second)) == ({"2026_04": [Held(told, "undelivered")]}, ["2026_04"])


def test_the_history_of_a_conversation_stays_while_one_of_its_runs_is_open(
    own_months: str, own_harness: Harness
) -> None:
    first = run_at(own_harness, APRIL, conversation="c-1")
    hands = refunding(own_harness)
    with submitted_at(MAY):
        waits = begun(hands, conversation="c-1")

    assert kept(prune(own_months, "agentflow", END_OF_APRIL)) == {"2026_04": [Held(first, "conversation")]}
    own_harness.client.operations.cancel(waits, by="ada", reason="late")
    hands.work()
    assert dropped(prune(own_months, "agentflow", END_OF_APRIL)) == ["2026_04"]


def test_a_key_is_free_again_once_its_run_is_gone(own_months: str, own_harness: Harness) -> None:
    run_at(own_harness, APRIL, idempotency_key="k-1")
    run_at(own_harness, MAY, idempotency_key="k-2")

    pruned = prune(own_months, "agentflow", END_OF_APRIL)

    assert (pruned.left_over["run_keys"], count(own_months, "run_keys")) == (1, 1)
    assert own_harness.client.submit("looking", None, idempotency_key="k-1").created
    assert not own_harness.client.submit("looking", None, idempotency_key="k-2").created


def test_a_key_whose_run_was_dropped_a_moment_ago_is_taken_over_by_one_of_many(
    own_months: str, own_harness: Harness
) -> None:
    run_at(own_harness, APRIL, idempotency_key="k-1")
    age(own_months, "drop table " + ", ".join(f"agentflow.{t}_2026_04" for t in pruning.TABLES))
    start = threading.Barrier(6)

    def submit(_: int) -> bool:
        start.wait()
        return own_harness.client.submit("looking", None, idempotency_key="k-1").created

    with ThreadPoolExecutor(6) as threads:
        created = list(threads.map(submit, range(6)))

    assert (created.count(True), count(own_months, "agent_runs")) == (1, 1)


def test_business_keys_are_never_pruned(own_months: str, own_harness: Harness) -> None:
    paid_at(own_harness, APRIL, 1)
    prune(own_months, "agentflow", END_OF_APRIL)

    with submitted_at(MAY):
        own_harness.run(clerk, "again", model=scripted(call("pay", n=1), "done"))

    assert count(own_months, "idempotency_records") == 1


def test_messages_go_that_no_call_refers_to_and_those_shared_with_later_ones_stay(
    own_months: str, own_harness: Harness
) -> None:
    paid_at(own_harness, APRIL, 1)
    paid_at(own_harness, MAY, 2)
    age(own_months, "update agentflow.messages set created_at = '2026-04-11'")
    before, all_prompts = count(own_months, "messages"), prompts(own_harness)

    pruned = prune(own_months, "agentflow", END_OF_APRIL)

    assert (before - count(own_months, "messages"), pruned.left_over["messages"]) == (3, 3)
    assert prompts(own_harness) == all_prompts[2:] == [3, 5]
    assert count(own_months, "messages_leaving") == 0


def test_a_message_that_a_call_comes_to_refer_to_while_it_is_taken_away_is_put_back(
    own_months: str, own_harness: Harness
) -> None:
    paid_at(own_harness, APRIL, 1)
    age(own_months, "update agentflow.messages set created_at = '2026-04-11'")
    head = "select prompt_head from agentflow.model_calls order by step_index desc limit 1"
    insert = text("""insert into agentflow.model_calls (run_id, step_index, attempt, model, prompt_head)
        values (cast(:run_id as uuid), 0, 1, 'm', :head)""")
    with probe_engine(own_months).connect() as writer, ThreadPoolExecutor(1) as threads:
        seen = writer.execute(text(head)).scalar_one()
        known = writer.execute(text("select count(*) from agentflow.messages where hash = :hash"), {"hash": seen})
        assert known.scalar_one() == 1
        # What it asked the calls for must not be in the way of dropping their month.
        writer.commit()
        writer.execute(text("select from agentflow.messages where hash = :hash"), {"hash": seen})
        pruned = threads.submit(prune, own_months, "agentflow", END_OF_APRIL)
        until(lambda: takes_away(own_months), "messages taken away, and a wait for who saw them")
        writer.execute(insert, {"run_id": str(uuid.uuid4()), "head": bytes(seen)})
        writer.commit()
        assert pruned.result(timeout=30).left_over["messages"] == 0

    assert prompts(own_harness) == [5]


def takes_away(url: str) -> bool:
    return count(url, "messages_leaving") > 0 and waits_for_messages(url)


def waits_for_messages(url: str) -> bool:
    query = text("select exists (select from pg_locks where not granted and relation = 'agentflow.messages'::regclass)")
    with probe_engine(url).connect() as connection:
        return bool(connection.execute(query).scalar_one())


def test_messages_that_a_stopped_pruning_had_taken_away_are_put_back_where_calls_refer_to_them(
    own_months: str, own_harness: Harness
) -> None:
    paid_at(own_harness, MAY, 1)
    all_prompts = prompts(own_harness)
    age(
        own_months,
        """with taken as (delete from agentflow.messages returning tenant, hash, parent, body, created_at)
        insert into agentflow.messages_leaving (tenant, hash, parent, body, created_at) select * from taken""",
    )

    prune(own_months, "agentflow", END_OF_APRIL)

    assert prompts(own_harness) == all_prompts


def test_runs_that_lie_in_no_month_go_one_by_one_once_they_have_ended(own_months: str, own_harness: Harness) -> None:
    hands = refunding(own_harness)
    with submitted_at(JULY):
        gone, waits = own_harness.run(looking, None).run_id, begun(hands)
    make_ahead(own_months, JULY)
    age(
        own_months,
        "update agentflow.agent_runs set created_at = '2026-04-01', finished_at = finished_at - interval '2 y'",
    )

    pruned = prune(own_months, "agentflow", END_OF_APRIL)

    assert pruned.left_over["agent_runs"] == 1
    assert (lying(own_months, gone), own_harness.client.get(waits).status) == ({}, "waiting_human")


def test_alerts_and_pages_of_before_the_time_go(own_months: str, own_harness: Harness) -> None:
    with own_harness.database.transaction() as tx:
        for cause in ("old:1", "new:1"):
            raise_alert(tx, "default", cause, "seen", topic=cause)
    age(own_months, "insert into agentflow.pages (topic, paged_at) values ('old:1', '2026-04-02'), ('new:1', now())")
    age(own_months, "update agentflow.alerts set last_at = '2026-04-02' where cause = 'old:1'")

    left_over = prune(own_months, "agentflow", END_OF_APRIL).left_over

    assert (left_over["alerts"], left_over["pages"]) == (1, 1)
    assert [alert["cause"] for alert in own_harness.client.alerts()] == ["new:1"]


def test_runs_go_on_while_months_are_dropped(own_months: str, own_harness: Harness) -> None:
    for moment in (MARCH, APRIL):
        run_at(own_harness, moment)
    with going_on(own_months) as ended:
        until(lambda: ended, "a run's end before the pruning")
        pruned = prune(own_months, "agentflow", END_OF_APRIL)
        most = len(ended)
        until(lambda: len(ended) > most + 9, "runs after the pruning")

    assert dropped(pruned) == ["before_2026_04", "2026_04"]
    assert set(ended) == {"done"}
    assert count(own_months, "agent_runs") == len(ended)


def test_a_month_whose_tables_others_lock_all_the_while_stays_and_the_next_pruning_drops_it(own_months: str) -> None:
    with probe_engine(own_months).connect() as other:
        other.execute(text("lock table agentflow.attempts in access share mode"))
        first = prune(own_months, "agentflow", END_OF_APRIL, patience_s=0.1)

    assert kept(first) == {"before_2026_04": [Held(None, "locked")], "2026_04": [Held(None, "locked")]}
    assert dropped(prune(own_months, "agentflow", END_OF_APRIL)) == ["before_2026_04", "2026_04"]


def test_a_pruning_that_never_gets_at_the_messages_says_so_and_the_next_one_finishes_it(
    own_months: str, own_harness: Harness
) -> None:
    paid_at(own_harness, APRIL, 1)
    age(own_months, "update agentflow.messages set created_at = '2026-04-11'")
    with probe_engine(own_months).connect() as other:
        other.execute(text("lock table agentflow.messages in access share mode"))
        with pytest.raises(DatabaseUnavailable, match=r"before_2026_04, 2026_04 is dropped, but others had locks"):
            prune(own_months, "agentflow", END_OF_APRIL, patience_s=0.1)
    left = count(own_months, "messages_leaving")

    prune(own_months, "agentflow", END_OF_APRIL)

    assert left > 0
    assert (count(own_months, "messages"), count(own_months, "messages_leaving")) == (0, 0)


def test_a_second_pruning_is_refused(own_months: str) -> None:
    with probe_engine(own_months).connect() as other:
        other.execute(text("lock table agentflow.messages in access share mode"))
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(prune, own_months, "agentflow", END_OF_APRIL)
            until(lambda: waits_for_messages(own_months), "a pruning at work")
            with pytest.raises(DatabaseUnavailable, match="another `agentflow db prune` is at work"):
                prune(own_months, "agentflow", END_OF_APRIL)
            other.rollback()
            assert first.result(timeout=30).left_over["messages"] == 0
