"""`agentflow approvals`: what people see of what is asked, and say, as real commands on real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentflow.broker.hints import BrokerHints
from agentflow.local import attach
from agentflow.settings import postgres_url
from agentflow.store import schema
from agentflow.testing import Harness, call
from tests.integration.asked import CALLS, REFUND, a_clerk, approval_id, asked_of, asking, begun, let_expire, refunding
from tests.integration.cli_commands import Project

UNKNOWN = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"


@dataclass(frozen=True)
class Desk:
    """A project on servers of its own, and the database that its runs wait in."""

    project: Project
    harness: Harness
    redis_url: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with attach(tmp_path_factory.mktemp("approvals")) as services:
        url = postgres_url(services.database_url)
        schema.upgrade(url, "agentflow")
        yield url, services.redis_url


@pytest.fixture
def desk(servers: tuple[str, str], tmp_path: Path) -> Iterator[Desk]:
    database_url, redis_url = servers
    project = Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=database_url, AGENTFLOW_REDIS_URL=redis_url)
    harness = Harness(database_url)
    CALLS.clear()
    yield Desk(project, harness, redis_url)
    with harness.database.transaction() as tx:
        tx.connection.exec_driver_sql("truncate agentflow.agent_runs, agentflow.agent_steps, agentflow.approvals")
    harness.close()


def said(desk: Desk, *arguments: str, code: int = 0, stdin: str = "") -> str:
    """Run a command and return what it wrote, on the stream that belongs to its exit code."""
    done = desk.project.run("approvals", *arguments, stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    written, silent = (done.stdout, done.stderr) if code == 0 else (done.stderr, done.stdout)
    assert silent == ""
    return written


def test_list_shows_what_is_asked_of_which_run_since_when_and_until_when(desk: Desk) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands, user="u-1")

    lines = said(desk, "list").splitlines()

    assert lines[0] == f"{approval_id(hands, run_id)[:8]}  wants to call refund"
    assert lines[1].strip() == json.dumps(REFUND)
    assert lines[2].strip() == f"clerk, step 1 of run {run_id} for u-1"
    assert lines[3].strip().startswith("asked 0 s ago, expires in 59 min") or "asked 1 s" in lines[3]


def test_list_shows_arguments_word_for_word_and_lets_none_steer_the_terminal(desk: Desk) -> None:
    begun(a_clerk(desk.harness, call("quote", amount_cents=2000, to="\x1b[2Kada"), "done"))
    begun(a_clerk(desk.harness, call("ask_person", question="one\n\x1b[2Ktwo"), "done"))

    written = said(desk, "list")

    assert "\x1b" not in written
    assert r"\u001b[2Kada" in written
    assert "          one\n          \\x1b[2Ktwo\n" in written


def test_list_as_json_has_everything(desk: Desk) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands)

    [row] = json.loads(said(desk, "list", "--json", "--run", run_id))

    assert (row["approval_id"], row["run_id"], row["asked"]) == (approval_id(hands, run_id), run_id, REFUND)
    assert (row["status"], row["kind"], row["agent"]) == ("pending", "call", "clerk")


def test_list_of_nothing_says_so(desk: Desk) -> None:
    done = desk.project.run("approvals", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nobody is asked anything\n")


def test_approving_by_the_first_digits_makes_the_call_and_tells_the_workers(desk: Desk) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands)
    arguments = json.dumps(dict(reversed(REFUND.items())))

    written = said(desk, "approve", approval_id(hands, run_id)[:8], "--by", "ada", "--arguments", arguments)

    assert written == f"'refund' (step 1 of run {run_id}) is approved by 'ada'\n"
    assert oldest(desk, "tool.refund") == (run_id, 1)
    hands.work()
    assert len(CALLS) == 1
    assert "approved by ada at " in said(desk, "list", "--status", "approved")


def test_rejecting_tells_the_reason(desk: Desk) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands)

    row = json.loads(said(desk, "reject", approval_id(hands, run_id), "--by", "ada", "--reason", "too much", "--json"))

    assert (row["status"], row["decided_by"], row["reason"]) == ("rejected", "ada", "too much")
    hands.work()
    assert CALLS == []
    assert "rejected by ada at " in said(desk, "list", "--run", run_id, "--status", "all")


@pytest.mark.parametrize(
    ("arguments", "stdin", "answer"),
    [
        (("yes, of course",), "", "yes, of course"),
        (("-",), "two\nlines\n", "two\nlines"),
        (("--data", '{"friend": true}'), "", {"friend": True}),
        (("42",), "", "42"),
    ],
    ids=["text", "standard input", "data", "text that looks like data"],
)
def test_answering_gives_the_agent_text_or_data(
    desk: Desk, arguments: tuple[str, ...], stdin: str, answer: Any
) -> None:
    hands = asking(desk.harness)
    run_id = begun(hands)
    wanted = approval_id(hands, run_id, "question")

    written = said(desk, "answer", wanted, *arguments, "--by", "bob", stdin=stdin)

    assert written == f"the question (step 1 of run {run_id}) is answered by 'bob'\n"
    assert asked_of(hands, run_id, "question")["answer"] == answer


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ("approve", UNKNOWN),
            1,
            f"there is no approval '{UNKNOWN}'; `agentflow approvals list` shows those there are",
        ),
        (("reject", "nonsense"), 1, "'nonsense' is no approval's id; `agentflow approvals list` shows them"),
        (("approve", "ID", "--by", " "), 1, "by=' ' names nobody"),
        (("approve", "ID", "--arguments", '{"order_id": "4421"}'), 1, "are not those that are asked about"),
        (("approve", "ID", "--arguments", "{order_id"), 2, "is no JSON"),
        (("answer", "ID", "yes"), 1, "it is no question: approve or reject it; nothing was changed"),
        (("list", "--status", "open"), 2, "--status='open' is no status; give one of pending, approved,"),
        (("list", "--run", "7"), 1, "'7' is no run id"),
    ],
    ids=["unknown", "no id", "nobody", "other arguments", "no JSON", "no question", "no status", "no run"],
)
def test_what_cannot_be_done_is_refused_with_its_reason(
    desk: Desk, arguments: tuple[str, ...], code: int, says: str
) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands)
    wanted = approval_id(hands, run_id)

    written = said(desk, *(wanted if each == "ID" else each for each in arguments), code=code)

    assert says in written
    assert written.count("\n") == 1
    assert asked_of(hands, run_id)["status"] == "pending"


def test_expired_approval_is_shown_as_such_and_refused(desk: Desk) -> None:
    hands = refunding(desk.harness)
    run_id = begun(hands)
    let_expire(hands, run_id)

    assert "has expired, at " in said(desk, "list")
    assert "it expired at " in said(desk, "approve", approval_id(hands, run_id), code=1)
    hands.work()
    assert CALLS == []


def oldest(desk: Desk, queue: str) -> tuple[str, int | None] | None:
    """Return run and step of the oldest hint in a queue of the real broker."""
    broker = BrokerHints(desk.redis_url)
    try:
        return broker.oldest(queue)
    finally:
        broker.close()
