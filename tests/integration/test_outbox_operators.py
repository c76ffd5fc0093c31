"""What people do about messages: they see them, end their doubts, have them sent again; each act is written down."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from agentflow.client.outbox import Messages
from agentflow.domain.errors import InterventionRefused, RunNotFound
from agentflow.domain.hint import relay_hint
from agentflow.testing import Harness
from tests.integration.cli_commands import Project
from tests.integration.faulty import Answer, Cut
from tests.integration.lost_answers import LostAnswers
from tests.integration.outpost import PARCEL, Outpost, arrived, parcels, taken
from tests.integration.outside import Endpoint

pytest_plugins = ["tests.integration.outside_server"]

ACTS = "select act, done_by, reason, details->>'was' as was, details->>'is' as now from agentflow.interventions"


@pytest.fixture
def outpost(agentflow: Harness, endpoint: Endpoint) -> Outpost:
    return Outpost(agentflow, parcels(endpoint))


@pytest.fixture
def messages(agentflow: Harness) -> Messages:
    return Messages(agentflow.database, "default", agentflow.hints)


def ended(outpost: Outpost, endpoint: Endpoint, answer: Any) -> str:
    """Send a message that is answered so, and all later ones well."""
    endpoint.answers(answer, Answer())
    [message_id] = outpost.queue()
    outpost.relay()
    return message_id


def test_a_doubt_is_ended_by_a_person_who_says_why_and_nothing_is_sent(
    outpost: Outpost, endpoint: Endpoint, messages: Messages
) -> None:
    message_id = ended(outpost, endpoint, Cut())

    before = messages.resolve(message_id[:8], "sent", reason="the customer has it", by="ada")
    outpost.relay()

    assert (before["status"], outpost.row(message_id)["status"]) == ("in_doubt", "sent")
    assert outpost.row(message_id)["sent_at"] is not None
    assert arrived(endpoint) == [message_id]
    told = {
        "act": "outbox_resolve",
        "done_by": "ada",
        "reason": "the customer has it",
        "was": "in_doubt",
        "now": "sent",
    }
    assert outpost.sql(ACTS) == [told]


def test_a_doubt_may_be_ended_as_failed(outpost: Outpost, endpoint: Endpoint, messages: Messages) -> None:
    message_id = ended(outpost, endpoint, Cut())

    messages.resolve(message_id, "failed", reason="the server's log has nothing", by="ada")

    row = outpost.row(message_id)
    assert (row["status"], row["sent_at"]) == ("failed", None)
    assert row["error"] is not None


@pytest.mark.parametrize("answer", [Cut(), Answer(400)], ids=["in doubt", "failed"])
def test_what_did_not_arrive_is_sent_again_under_its_id_where_a_person_says_so(
    outpost: Outpost, endpoint: Endpoint, messages: Messages, answer: Any
) -> None:
    message_id = ended(outpost, endpoint, answer)

    messages.retry(message_id, reason="mended", by="ada")
    assert taken(outpost.harness.hints) == [relay_hint(PARCEL)]
    assert outpost.row(message_id)["failures"] == {}, "it has all its attempts again"
    outpost.relay()

    assert outpost.row(message_id)["status"] == "sent"
    assert arrived(endpoint) == [message_id] * 2


def test_what_is_not_in_doubt_cannot_be_resolved_nor_what_was_sent_be_retried(
    outpost: Outpost, endpoint: Endpoint, messages: Messages
) -> None:
    sent = ended(outpost, endpoint, Answer())
    [waiting] = outpost.queue()

    for message_id, what in ((sent, "sent"), (waiting, "pending")):
        with pytest.raises(
            InterventionRefused, match=f"'{message_id}' is {what}: only what is in doubt can be resolved"
        ):
            messages.resolve(message_id, "sent", reason="r")
        with pytest.raises(InterventionRefused, match=f"is {what}: only what is failed or in doubt can be tried again"):
            messages.retry(message_id, reason="r")
    assert outpost.statuses() == ["sent", "pending"]
    assert outpost.sql(ACTS) == []


@pytest.mark.parametrize(
    ("message_id", "asked", "says"),
    [
        (str(uuid.uuid4()), {"reason": "r"}, "there is no message"),
        ("nonsense", {"reason": "r"}, "is no message's id"),
        ("", {"reason": "r"}, "is no message's id"),
        (str(uuid.uuid4()), {"reason": " "}, "there is no reason"),
        (str(uuid.uuid4()), {"reason": "r", "by": ""}, "names nobody"),
    ],
    ids=["unknown", "no id", "empty", "no reason", "nobody"],
)
def test_a_retry_of_nothing_by_nobody_or_for_nothing_is_refused(
    messages: Messages, message_id: str, asked: dict[str, str], says: str
) -> None:
    with pytest.raises(InterventionRefused, match=says):
        messages.retry(message_id, **asked)


def test_a_message_of_another_tenant_is_not_there(agentflow: Harness, outpost: Outpost, endpoint: Endpoint) -> None:
    message_id = ended(outpost, endpoint, Cut())
    others = Messages(agentflow.database, "other", agentflow.hints)

    assert others.list() == []
    with pytest.raises(InterventionRefused, match="there is no message"):
        others.resolve(message_id, "sent", reason="r")


def test_an_act_whose_commit_was_not_answered_is_done_once(
    agentflow: Harness, outpost: Outpost, endpoint: Endpoint, messages: Messages
) -> None:
    message_id = ended(outpost, endpoint, Answer(400))
    lost = LostAnswers(agentflow.database)
    lost.lose_next()

    messages.retry(message_id, reason="mended", by="ada")

    assert lost.lost == 1
    assert len(outpost.sql(ACTS)) == 1
    assert outpost.row(message_id)["status"] == "pending"


def test_messages_are_listed_by_status_kind_and_run(outpost: Outpost, endpoint: Endpoint, messages: Messages) -> None:
    failed = ended(outpost, endpoint, Answer(400))
    outpost.queue(2, kind="email")

    assert [str(row["message_id"]) for row in messages.list(status="failed")] == [failed]
    assert [row["kind"] for row in messages.list(kind="email")] == ["email", "email"]
    assert len(messages.list(run_id=str(outpost.row(failed)["run_id"]))) == 1
    assert [row["kind"] for row in messages.list(most=1)] == ["email"]
    with pytest.raises(RunNotFound):
        messages.list(run_id="nonsense")


@pytest.fixture
def project(empty_database_url: str, tmp_path: Path) -> Project:
    return Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=empty_database_url)


def test_the_command_shows_why_a_message_has_not_arrived_and_sends_it_again(
    project: Project, outpost: Outpost, endpoint: Endpoint
) -> None:
    message_id = ended(outpost, endpoint, Answer(400, body={"error": "no such street"}))

    listed = project.run("outbox", "list", "--status", "failed", COLUMNS="200")
    retried = project.run("outbox", "retry", message_id[:8], "--reason", "address mended", "--by", "ada")
    again = project.run("outbox", "retry", message_id, "--reason", "once more")
    outpost.relay()

    assert message_id[:8] in listed.stdout
    assert "no such street" in listed.stdout
    assert f"message {message_id} of kind 'parcel' was failed and is pending now" in " ".join(retried.stdout.split())
    assert (again.returncode, "is pending: only what is failed or in doubt" in again.stderr) == (1, True)
    assert [row["status"] for row in project.read("outbox", "list", "--kind", PARCEL)] == ["sent"]


def test_the_command_ends_a_doubt_and_refuses_what_is_no_answer(
    project: Project, outpost: Outpost, endpoint: Endpoint
) -> None:
    message_id = ended(outpost, endpoint, Cut())

    wrong = project.run("outbox", "resolve", message_id, "maybe", "--reason", "r")
    done = project.run("outbox", "resolve", message_id, "sent", "--reason", "seen", "--json")

    assert (wrong.returncode, "'maybe' is no answer to a doubt" in wrong.stderr) == (1, True)
    assert (done.returncode, outpost.row(message_id)["status"]) == (0, "sent")
    assert '"was": "in_doubt"' in done.stdout
