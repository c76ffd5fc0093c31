"""`agentflow runs resolve|cancel|pause|resume|retry|fork`, and what `runs show` tells of them, as real commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentflow import Agent, Pipeline, ToolError, tool
from agentflow.broker.hints import BrokerHints
from agentflow.local import attach
from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.testing import Harness, scripted
from tests.integration.cli_commands import Project
from tests.integration.hands import Hands
from tests.integration.operated import DOUBT

NOBODY = "01a203c4-30b2-70db-b23c-5b03044fcb4e"
BROKEN: set[str] = set()


@tool(effect="unsafe", name="order_goods")
def order_goods(n: int) -> str:
    return f"order {n}"


@order_goods.compensate(effect="idempotent")
def cancel_order(result: str) -> None:
    if "cancel" in BROKEN:
        raise ToolError("the shop is closed", happened=False)


@tool(effect="read", name="check_goods")
def check_goods(order_goods: str) -> str:
    if "check" in BROKEN:
        raise ToolError("sold out", happened=False)
    return f"checked {order_goods}"


buying = Pipeline("buying", [order_goods, check_goods], on_failure="keep")
returning = Pipeline("returning", [order_goods, check_goods], on_failure="compensate")
clerk = Agent("clerk", model="openai:gpt-4o-mini")


@dataclass(frozen=True)
class Desk:
    """A project on servers of its own, with one worker that is moved by hand."""

    project: Project
    hands: Hands
    redis_url: str

    def said(self, *arguments: str, code: int = 0) -> str:
        """Run a command and return what it wrote, on the stream that belongs to its exit code."""
        done = self.project.run("runs", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        written, silent = (done.stdout, done.stderr) if code == 0 else (done.stderr, done.stdout)
        assert silent == ""
        return written

    def read(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments, "--json"))

    def status(self, run_id: str) -> str:
        return self.hands.harness.client.get(run_id).status


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with attach(tmp_path_factory.mktemp("operating")) as services:
        url = postgres_url(services.database_url)
        schema.upgrade(url, "agentflow")
        yield url, services.redis_url


@pytest.fixture
def desk(servers: tuple[str, str], tmp_path: Path) -> Iterator[Desk]:
    database_url, redis_url = servers
    BROKEN.clear()
    settings = {"AGENTFLOW_DATABASE_URL": database_url, "AGENTFLOW_REDIS_URL": redis_url, "COLUMNS": "120"}
    harness = Harness(database_url)
    hands = Hands(harness, buying, returning, clerk, model=scripted("hello"))
    yield Desk(Project.of(tmp_path / "project", **settings), hands, redis_url)
    harness.close()


def in_doubt(desk: Desk) -> str:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.record(desk.hands.claim(run_id), DOUBT)
    return run_id


def failed(desk: Desk, agent: Pipeline = buying, *, cancel_too: bool = False) -> str:
    BROKEN.update({"check", "cancel"} if cancel_too else {"check"})
    run_id = desk.hands.begin(agent, {"n": 1})
    desk.hands.work()
    assert desk.status(run_id) == "failed"
    BROKEN.clear()
    return run_id


def test_show_tells_of_a_doubt_until_when_it_can_have_been_sent_and_what_ends_it(desk: Desk) -> None:
    run_id = in_doubt(desk)

    written = desk.said("show", run_id)

    assert "waits   for a person: in_doubt" in written
    assert "doubt   0 order_goods: it can have been sent until 20" in written
    command = next(line for line in written.splitlines() if "runs resolve" in line).split("then", 1)[1].strip()
    assert command == f"agentflow runs resolve {run_id} happened"
    desk.said(*command.split()[2:], "--answer", '"order 1"')
    desk.hands.work()
    assert desk.status(run_id) == "done"


def test_resolve_says_what_is_in_doubt_before_and_where_the_run_stands_after(desk: Desk) -> None:
    run_id = in_doubt(desk)

    said = ("resolve", run_id, "happened", "--answer", '"order 7"', "--by", "ada", "--reason", "seen in the shop")
    first, second = desk.said(*said).splitlines()

    assert first.startswith("step 0 (order_goods) is in doubt: no answer in 10 s; it can have been sent until 20")
    assert second == f"run {run_id} is running"
    desk.hands.work()
    assert desk.hands.harness.client.get(run_id).result == "checked order 7"
    assert "resolved: happened, step 0, by ada: seen in the shop" in desk.said("show", run_id)


def test_resolve_can_say_that_it_certainly_did_not_happen(desk: Desk) -> None:
    run_id = in_doubt(desk)

    desk.said("resolve", run_id, "fail", "--step", "0", "--did-not-happen")

    assert desk.hands.step_row(run_id)["error"]["happened"] is False


def test_cancel_says_where_the_run_stands_and_hints_a_worker(desk: Desk) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.drop_hints()

    written = desk.said("cancel", run_id, "--by", "ada", "--reason", "a mistake")

    assert written == f"run {run_id} is pending and is asked to stop\n"
    hints = BrokerHints(desk.redis_url)
    assert hints.oldest("coordinator") is not None
    hints.close()
    desk.hands.work()
    assert "cancelled, by ada: a mistake" in desk.said("show", run_id)


def test_cancel_can_undo_what_was_done_and_show_says_of_which_step(desk: Desk) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.do(run_id)

    desk.said("cancel", run_id, "--compensate")
    desk.hands.work()

    written = desk.said("show", run_id)
    assert "compensate of 0 order_goods" in written
    assert "undone  what it did was undone" in written


def test_pause_and_resume_say_where_the_run_stands(desk: Desk) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.do(run_id)

    assert desk.said("pause", run_id) == f"run {run_id} is paused\n"
    assert desk.hands.refusal(run_id, 1) == ("run_stopped", "paused")
    assert "`agentflow runs resume` lets the run go on" in desk.said("show", run_id)
    assert desk.read("resume", run_id)["status"] == "running"


def test_pause_of_a_run_that_is_at_work_says_that_it_will_be_paused(desk: Desk) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.claim(run_id)

    assert desk.said("pause", run_id) == f"run {run_id} is running and will be paused\n"
    assert "pause   asked for" in desk.said("show", run_id)


def test_retry_takes_a_failed_run_up_again_with_a_higher_ceiling(desk: Desk) -> None:
    run_id = failed(desk)

    written = desk.said("retry", run_id, "--budget", "attempts=80", "--budget", "cost_usd=2.5", "--reason", "restocked")
    desk.hands.work()

    assert written == f"run {run_id} is running\n"
    assert desk.status(run_id) == "done"
    budget = desk.hands.harness.client.get(run_id).budget
    assert (budget["attempts"], budget["cost_usd"]) == (80, 2.5)


def test_retry_of_an_undoing_that_failed_says_that_it_goes_on(desk: Desk) -> None:
    run_id = failed(desk, returning, cancel_too=True)
    shown = desk.said("show", run_id)
    assert "undone  failed: what 'order_goods' did (step 0) could not be undone" in shown

    assert desk.said("retry", run_id) == f"run {run_id} is compensating\n"


def test_fork_writes_the_copys_id_and_show_says_whose_copy_it_is(desk: Desk) -> None:
    run_id = desk.hands.begin(clerk, "hi")
    desk.hands.work()
    instructions = desk.project.folder / "instructions.txt"
    instructions.write_text("be brief", encoding="utf-8")

    copy_id = desk.said(
        "fork", run_id, "--from-step", "0", "--model", "openai:gpt-4o", "--instructions", f"@{instructions}"
    ).strip()

    assert desk.hands.harness.client.get(copy_id).overrides == {"model": "openai:gpt-4o", "instructions": "be brief"}
    assert f"forked from {run_id}, model of its own, instructions of its own" in desk.said("show", copy_id)
    assert f"forked, step 0, to {copy_id}, by " in desk.said("show", run_id)


def test_fork_is_refused_with_the_reason_unless_it_is_forced(desk: Desk) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.work()

    written = desk.said("fork", run_id, "--from-step", "0", code=1)
    assert "step 0 (order_goods, unsafe) is ok, neither undone nor under a business key" in written
    assert desk.read("fork", run_id, "--from-step", "0", "--force")["forked_from"] == run_id


def test_show_as_json_has_what_people_did(desk: Desk) -> None:
    run_id = in_doubt(desk)
    desk.said("resolve", run_id, "fail", "--by", "ada", "--reason", "unknown")

    [act] = desk.read("show", run_id)["interventions"]

    assert (act["act"], act["done_by"], act["reason"], act["details"]["resolution"]) == (
        "resolved",
        "ada",
        "unknown",
        "fail",
    )


REFUSED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "a run that is not there": (("cancel", NOBODY), 1, f"there is no run '{NOBODY}'"),
    "no run's id": (("pause", "nonsense"), 1, "'nonsense' is no run id"),
    "an answer that is no JSON": (("resolve", NOBODY, "happened", "--answer", "{"), 2, "'{' is no JSON"),
    "an answer that no number is": (("resolve", NOBODY, "happened", "--answer", "NaN"), 2, "nan is not JSON"),
    "a word that says nothing": (("resolve", NOBODY, "maybe"), 1, "there is no run"),
    "a budget without a number": (("retry", NOBODY, "--budget", "attempts"), 2, "write it as attempts=80"),
    "a budget that is no number": (("retry", NOBODY, "--budget", "attempts=many"), 2, "write it as attempts=80"),
    "a file that is not there": (
        ("fork", NOBODY, "--from-step", "0", "--instructions", "@nowhere.txt"),
        2,
        "names a file that cannot be read",
    ),
    "an order by nobody": (("cancel", NOBODY, "--by", " "), 1, "names nobody"),
}


@pytest.mark.parametrize(("arguments", "code", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(desk: Desk, arguments: tuple[str, ...], code: int, why: str) -> None:
    written = desk.said(*arguments, code=code)

    assert why in written
    assert written.startswith("agentflow: ")
    assert len(written.splitlines()) == 1


@pytest.mark.parametrize(
    ("verb", "why"),
    [
        (("resolve", "happened"), "no step of it is in doubt"),
        (("cancel",), "it is done already; there is nothing to cancel"),
        (("pause",), "it is done already; there is nothing to pause"),
        (("resume",), "it is done, not paused"),
        (("retry",), "it is done: only a failed run is retried"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_order_on_a_run_that_is_done_is_refused(desk: Desk, verb: tuple[str, ...], why: str) -> None:
    run_id = desk.hands.begin(buying, {"n": 1})
    desk.hands.work()

    written = desk.said(verb[0], run_id, *verb[1:], code=1)

    assert written == f"agentflow: run {run_id!r}: {written.split(': ', 2)[2]}"
    assert why in written
    assert written.rstrip().endswith("nothing was changed")
