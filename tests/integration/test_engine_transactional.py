from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentflow import Agent, Context, Pipeline, ToolError, tool
from agentflow.testing import Harness, call, scripted
from tests.integration.hands import Hands

TABLES = """
    create table sheets (id int primary key, n int not null default 0);
    create table lines (
        id int primary key, sheet_id int references sheets (id) deferrable initially deferred, label text
    );
    insert into sheets values (1), (2);
"""


@pytest.fixture(autouse=True)
def tables(agentflow: Harness) -> Iterator[None]:
    hands = Hands(agentflow, Pipeline("none", [tool(effect="read")(nothing)]))
    hands.sql(TABLES)
    yield
    hands.sql("drop table lines, sheets")


def nothing() -> None:
    return None


def writing(work: Any) -> Pipeline:
    def write(ctx: Context) -> Any:
        return work(ctx)

    return Pipeline("writing", [tool(effect="transactional")(write)])


def insert(ctx: Context, line: int = 1, sheet: int = 1) -> None:
    statement = text("insert into lines values (:line, :sheet, 'x')")
    ctx.connection.execute(statement, {"line": line, "sheet": sheet})


def lines(agentflow: Harness) -> int:
    with agentflow.database.transaction() as tx:
        return int(tx.connection.exec_driver_sql("select count(*) from lines").scalar_one())


def test_what_a_tool_writes_commits_with_its_step(agentflow: Harness) -> None:
    run = agentflow.run(writing(insert), None)

    assert (run.status, lines(agentflow)) == ("done", 1)


def test_what_a_tool_wrote_before_its_worker_died_is_gone(agentflow: Harness) -> None:
    run = agentflow.run(writing(insert), None, crash_after="write")

    assert (run.status, run.attempts("write"), lines(agentflow)) == ("done", 2, 1)


@pytest.mark.parametrize("error", [ToolError("no"), ToolError("yes", happened=True), KeyError("x")], ids=repr)
def test_what_a_tool_wrote_before_it_failed_is_taken_back_whatever_it_says(
    agentflow: Harness, error: Exception
) -> None:
    def fail(ctx: Context) -> None:
        insert(ctx)
        ctx.outbox.email(to="a@example.com", subject="x", body="x")
        ctx.scratchpad["a"] = 1
        raise error

    run = agentflow.run(writing(fail), None)

    assert (run.status, run.steps[0].error["happened"], lines(agentflow)) == ("failed", False, 0)
    assert (run.outbox, run.record.scratchpad) == ([], {})


def test_a_constraint_that_is_checked_at_the_commit_fails_the_step_and_not_the_record(agentflow: Harness) -> None:
    run = agentflow.run(writing(lambda ctx: insert(ctx, sheet=99)), None)

    assert (run.status, run.attempts("write"), lines(agentflow)) == ("failed", 1, 0)
    assert "ForeignKeyViolation" in run.steps[0].error["message"]


def test_a_tool_that_swallows_its_databases_error_fails_and_is_recorded(agentflow: Harness) -> None:
    def swallow(ctx: Context) -> str:
        insert(ctx)
        try:
            ctx.connection.execute(text("select 1 / 0"))
        except DBAPIError:
            return "never mind"
        return "fine"

    run = agentflow.run(writing(swallow), None)

    assert (run.status, run.attempts("write"), lines(agentflow)) == ("failed", 1, 0)
    assert run.steps[0].error["kind"] == "bug"


def test_a_tool_may_have_savepoints_of_its_own(agentflow: Harness) -> None:
    def try_twice(ctx: Context) -> str:
        insert(ctx)
        try:
            with ctx.connection.begin_nested():
                insert(ctx)
        except DBAPIError:
            insert(ctx, line=2)
        return "two lines"

    run = agentflow.run(writing(try_twice), None)

    assert (run.status, lines(agentflow)) == ("done", 2)


def test_tools_in_a_deadlock_are_run_again_and_both_end_well(agentflow: Harness) -> None:
    both, calls = Barrier(2), []

    def add(ctx: Context) -> None:
        calls.append(ctx.run.input)
        ctx.connection.execute(text("set local deadlock_timeout = '20ms'"))
        first, second = ctx.run.input
        ctx.connection.execute(text("update sheets set n = n + 1 where id = :id"), {"id": first})
        if len(calls) <= 2:
            both.wait(10)
        ctx.connection.execute(text("update sheets set n = n + 1 where id = :id"), {"id": second})

    pipeline = writing(add)
    hands = Hands(agentflow, pipeline)
    run_ids = [hands.begin(pipeline, order) for order in ([1, 2], [2, 1])]

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(hands.do, run_ids))
    hands.work()

    assert [agentflow.client.get(each).status for each in run_ids] == ["done", "done"]
    assert len(calls) == 3
    assert [row["n"] for row in hands.sql("select n from sheets")] == [2, 2]
    assert [agentflow.client.get(each).attempts for each in run_ids] == [1, 1]


@pytest.mark.parametrize("said", [None, "ToolError"])
def test_a_tool_whose_connection_is_cut_is_run_again_on_another(agentflow: Harness, said: str | None) -> None:
    calls: list[int] = []

    def write(ctx: Context) -> str:
        calls.append(1)
        insert(ctx)
        if len(calls) == 1:
            try:
                ctx.connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
            except DBAPIError as error:
                if said is None:
                    raise
                raise ToolError("the database is gone") from error
        return "done"

    run = agentflow.run(writing(write), None)

    assert (run.status, len(calls), lines(agentflow)) == ("done", 2, 1)


def test_a_tool_of_another_class_has_no_connection(agentflow: Harness) -> None:
    def peek(ctx: Context) -> str:
        return str(ctx.connection)

    run = agentflow.run(Pipeline("peeking", [tool(effect="read")(peek)]), None)

    assert "ctx.connection exists in tools with effect='transactional' only" in run.error["message"]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("swallows", [True, False], ids=["and swallows the refusal", "and raises"])
def test_a_tool_that_ends_the_transaction_itself_writes_nothing_and_fails(
    agentflow: Harness, ending: str, swallows: bool
) -> None:
    def end(ctx: Context) -> str:
        insert(ctx)
        try:
            getattr(ctx.connection, ending)()
        except Exception:
            if not swallows:
                raise
        return "ended"

    run = agentflow.run(writing(end), None)

    assert (run.status, run.attempts("write"), lines(agentflow)) == ("failed", 1, 0)
    assert "A transactional tool may not commit or roll back" in run.steps[0].error["message"]


def test_a_run_sees_the_rows_of_its_earlier_steps(agentflow: Harness) -> None:
    @tool(effect="transactional")
    def write(ctx: Context) -> None:
        insert(ctx)

    @tool(effect="transactional")
    def count(ctx: Context) -> int:
        return int(ctx.connection.execute(text("select count(*) from lines")).scalar_one())

    clerk = Agent("clerk", model="openai:gpt-4o-mini", tools=[write, count])

    run = agentflow.run(clerk, "go", model=scripted(call("write"), call("count"), "done"))

    assert run.steps[3].output == 1
