"""Runs in partitions by the time in their ids: each lies in one, is found in one, and a key is one run's alone."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from agentflow import Notify
from agentflow.domain.errors import IdempotencyConflict
from agentflow.store import schema
from agentflow.store.database import probe_engine
from agentflow.store.partitions import TABLES
from agentflow.store.statements import Statements
from agentflow.testing import Harness
from tests.integration.asked import approval_id, begun, refunding
from tests.integration.cli_commands import ROOT, environment
from tests.integration.months import (
    APRIL,
    JULY,
    JUNE,
    MAY,
    count,
    days,
    looking,
    lying,
    make_ahead,
    partitions,
    run_id_at,
    submit_of_0004,
    submitted_at,
    suffixes,
)

pytest_plugins = ["tests.integration.month_databases"]

STATEMENTS = Statements.load("agentflow").by_name
PARTITION = re.compile(r"\b(?:" + "|".join(TABLES) + r")_(before_2026_04|2026_04|2026_05|2026_06|default)\b")
BEATS_WISH = """
from tasks import maintenance
from tasks.app import app

entry = app.conf.beat_schedule["make-partitions"]
app.tasks[entry["task"]]()
print(entry["schedule"])
"""
BY_RUN = (
    "read_run", "read_steps", "lock_run", "lock_step", "look_at_step", "park_step", "finish_step", "note_outcome",
    "finish_run", "open_steps", "end_attempt",
    "lock_approval_of_step", "hand_over", "fail_delivery", "take_back_step", "pause_run",
)  # fmt: skip


def test_a_schema_has_a_first_partition_the_months_ahead_and_a_default_one(months: str) -> None:
    assert suffixes(months) == ["before_2026_04", "2026_04", "2026_05", "2026_06", "default"]


def test_a_run_lies_in_the_partitions_of_its_month_with_all_that_is_its_own(months: str, harness: Harness) -> None:
    hands = refunding(harness)
    with submitted_at(MAY):
        run_id = begun(hands, notify=Notify(email="ann@example.com"))
    harness.client.operations.pause(run_id, by="ada", reason="lunch")
    harness.client.operations.resume(run_id, by="ada", reason="coffee")
    harness.client.approvals.approve(approval_id(hands, run_id), by="ada")
    hands.work()

    assert harness.client.get(run_id).status == "done"
    assert lying(months, run_id) == dict.fromkeys(TABLES, "2026_05")


@pytest.mark.parametrize("name", BY_RUN)
def test_a_statement_that_names_a_run_looks_into_one_partition_of_each_table(months: str, name: str) -> None:
    plan = plan_of(months, name, run_id=run_id_at(MAY), sent_run_id=run_id_at(MAY))

    assert set(PARTITION.findall(plan)) == {"2026_05"}, plan


def test_a_statement_that_names_no_run_looks_into_all_of_them(months: str) -> None:
    assert len(set(PARTITION.findall(plan_of(months, "hintable_runs")))) == 5


def test_an_id_that_is_no_time_lies_in_the_default_partition_and_is_found(months: str, harness: Harness) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uuid_utils.uuid7", lambda: uuid.UUID(int=uuid.uuid4().int | 0xF << 124))
        run = harness.run(looking, None)

    assert (run.status, set(lying(months, run.run_id).values())) == ("done", {"default"})


def test_a_key_is_one_runs_alone_whatever_month_it_is_used_in_again(harness: Harness) -> None:
    with submitted_at(APRIL):
        first = harness.run(looking, None, idempotency_key="k-1")
    with submitted_at(MAY):
        again = harness.client.submit("looking", None, idempotency_key="k-1")

    assert (again.run_id, again.created) == (first.run_id, False)
    with submitted_at(JUNE), pytest.raises(IdempotencyConflict, match="'k-1' was used with another agent or input"):
        harness.client.submit("looking", {"other": "input"}, idempotency_key="k-1")


def test_a_key_used_by_many_at_once_in_two_months_is_one_runs(months: str, harness: Harness) -> None:
    harness.runtime(looking)
    start = threading.Barrier(8)

    def submit(number: int) -> tuple[str, bool]:
        start.wait()
        handle = harness.client.submit("looking", None, idempotency_key="at once", not_before=None)
        return handle.run_id, handle.created

    made = iter([run_id_at(moment) for moment in (APRIL, MAY) * 4])
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as threads:
        patch.setattr("uuid_utils.uuid7", lambda: next(made))
        came = list(threads.map(submit, range(8)))

    assert len({run_id for run_id, _ in came}) == 1
    assert [created for _, created in came].count(True) == 1
    assert count(months, "agent_runs") == 1


def test_a_key_whose_submission_was_rolled_back_is_free(months: str, harness: Harness) -> None:
    harness.runtime(looking)
    with probe_engine(months).connect() as connection, connection.begin() as transaction:
        harness.client.submit("looking", None, idempotency_key="k-2", connection=connection)
        transaction.rollback()

    assert harness.client.submit("looking", None, idempotency_key="k-2").created


def test_a_client_of_the_release_before_finds_the_run_of_a_key_that_is_taken(months: str, harness: Harness) -> None:
    with submitted_at(APRIL):
        first = harness.run(looking, None, idempotency_key="k-3")

    with probe_engine(months).connect() as connection:
        assert submit_of_0004(connection, run_id_at(MAY), "k-3") == first.run_id
    assert count(months, "agent_runs") == 1


def test_numbers_of_transitions_go_on_over_the_partitions(months: str, harness: Harness) -> None:
    for moment in (MAY, APRIL):
        with submitted_at(moment):
            harness.run(looking, None)

    with probe_engine(months).connect() as connection:
        ids = connection.execute(text("select id from agentflow.transitions order by at")).scalars().all()
    assert list(ids) == sorted(set(ids))


def test_the_months_ahead_are_made_once_by_however_many_ask(own_months: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: schema.make_partitions(own_months, "agentflow"), range(3)))

    made = [each.suffix for answer in answers for each in answer]
    assert len(made) == len(set(made)) > 1
    assert set(made) < set(suffixes(own_months))


def test_what_beat_asks_for_once_a_day_makes_the_months_ahead(own_months: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", BEATS_WISH],
        env=environment(AGENTFLOW_DATABASE_URL=own_months, AGENTFLOW_REDIS_URL="redis://127.0.0.1:1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (asked.returncode, asked.stdout) == (0, "86400.0\n"), asked.stderr
    ends = [each.until for each in partitions(own_months) if each.until is not None]
    assert max(ends) > datetime.now(UTC) + days(45)


def test_a_month_whose_first_days_found_no_partition_begins_on_the_day_after(
    own_months: str, own_harness: Harness
) -> None:
    with submitted_at(JULY):
        stray = own_harness.run(looking, None)
    made = make_ahead(own_months, JULY)
    with submitted_at(JULY + days(1)):
        later = own_harness.run(looking, None)

    assert made == ["2026_07_11", "2026_08"]
    assert set(lying(own_months, stray.run_id).values()) == {"default"}
    assert set(lying(own_months, later.run_id).values()) == {"2026_07_11"}
    assert (own_harness.client.get(stray.run_id).status, make_ahead(own_months, JULY)) == ("done", [])


def test_a_month_with_runs_on_its_last_day_gets_no_partition(own_months: str, own_harness: Harness) -> None:
    with submitted_at(datetime(2026, 7, 31, 23, tzinfo=UTC)):
        own_harness.run(looking, None)

    assert make_ahead(own_months, datetime(2026, 7, 20, tzinfo=UTC)) == ["2026_08", "2026_09"]


def plan_of(url: str, name: str, **known: str) -> str:
    """Return the plan of a statement for any parameters but those known."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] in known:
            return f"'{known[found[1]]}'"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    query = re.sub(r"%\((\w+)\)s", number, STATEMENTS[name])
    nulls = f"({', '.join(['null'] * len(names))})" if names else ""
    with probe_engine(url).connect() as connection:
        connection.exec_driver_sql("set plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"prepare asked as {query}")
        return "\n".join(connection.exec_driver_sql(f"explain execute asked{nulls}").scalars())
