"""What a run tells of itself: that it ended, that it waits for a person, and never what it was about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentflow import Notify
from agentflow.client import Client
from agentflow.domain.errors import SubmissionRefused
from agentflow.domain.hint import relay_hint
from agentflow.domain.run import RunStatus
from agentflow.engine.notifying import notify_end, notify_person
from agentflow.settings import settings
from agentflow.store import runs
from agentflow.testing import Harness
from tests.integration.asked import a_clerk, approval_id, begun, refunding
from tests.integration.hands import Hands

HOOK = "https://example.com/hook"
BOTH = Notify(webhook=HOOK, email="ann@example.com")


@pytest.fixture
def hands(agentflow: Harness) -> Hands:
    return refunding(agentflow)


def notices(hands: Hands, run_id: str) -> Sequence[Mapping[str, Any]]:
    query = "select * from agentflow.outbox where run_id = %(run_id)s and step_index = -1 order by item"
    return hands.sql(query, run_id=run_id)


def told(hands: Hands, run_id: str) -> list[tuple[str, str]]:
    """The events that a run's webhook is told, with its status."""
    rows = [row["payload"]["payload"] for row in notices(hands, run_id) if row["kind"] == "webhook"]
    return [(row["event"], row["status"]) for row in rows]


def test_run_tells_that_it_waits_and_that_it_ended(hands: Hands, agentflow: Harness) -> None:
    run_id = begun(hands, notify=BOTH, user="u-1")
    waiting = notices(hands, run_id)
    agentflow.client.approvals.approve(approval_id(hands, run_id), by="ada")
    hands.work()

    assert [(row["kind"], row["item"], row["status"]) for row in waiting] == [
        ("webhook", 0, "pending"),
        ("email", 1, "pending"),
    ]
    assert [row["item"] for row in notices(hands, run_id)] == [0, 1, 2, 3]
    assert told(hands, run_id) == [("run.waiting", "waiting_human"), ("run.ended", "done")]


def test_webhook_is_told_run_agent_user_status_and_reason(hands: Hands) -> None:
    run_id = begun(hands, notify=Notify(webhook=HOOK), user="u-1", conversation="c-1")

    [row] = notices(hands, run_id)
    assert row["payload"] == {
        "url": HOOK,
        "payload": {
            "event": "run.waiting",
            "run_id": run_id,
            "agent": "clerk",
            "user_id": "u-1",
            "conversation_id": "c-1",
            "status": "waiting_human",
            "outcome": None,
            "reason": "approval",
        },
    }


def test_email_says_in_plain_words_what_is_wanted_and_where_to_look(hands: Hands) -> None:
    run_id = begun(hands, notify=Notify(email="ann@example.com"))

    [row] = notices(hands, run_id)
    assert row["payload"] == {
        "to": "ann@example.com",
        "subject": f"Run {run_id} of clerk waits for a person",
        "body": f"Run {run_id} of clerk waits for a person.\n\n"
        "It wants an approval: `agentflow approvals list` shows what is asked.\n\n"
        f"Look at it: agentflow runs show {run_id}\n",
    }


def test_email_of_an_end_says_how_it_ended(agentflow: Harness) -> None:
    hands = a_clerk(agentflow, "a secret result")
    run_id = begun(hands, notify=Notify(email="ann@example.com"))

    [row] = notices(hands, run_id)
    assert row["payload"]["subject"] == f"Run {run_id} of clerk is done"
    assert "Outcome: complete." in row["payload"]["body"]


def test_nothing_of_what_the_run_is_about_is_told(agentflow: Harness) -> None:
    hands = a_clerk(agentflow, "a secret result")
    run_id = hands.submit(hands.runtime.registry.agents["clerk"], "a secret input", notify=BOTH)
    hands.work()

    assert len(notices(hands, run_id)) == 2
    assert "secret" not in json.dumps([row["payload"] for row in notices(hands, run_id)])


def test_failed_run_tells_its_reason(agentflow: Harness) -> None:
    hands = a_clerk(agentflow, RuntimeError("the model is broken"))
    run_id = begun(hands, notify=Notify(webhook=HOOK))

    [row] = notices(hands, run_id)
    assert hands.run_row(run_id)["status"] == "failed"
    assert (row["payload"]["payload"]["status"], row["payload"]["payload"]["reason"]) == ("failed", "model_failed")


@pytest.mark.parametrize(
    ("on", "events"),
    [(("end",), [("run.ended", "done")]), (("person",), [("run.waiting", "waiting_human")])],
    ids=["end", "person"],
)
def test_only_the_events_that_were_asked_for_are_told(
    hands: Hands, agentflow: Harness, on: Any, events: list[tuple[str, str]]
) -> None:
    run_id = begun(hands, notify=Notify(webhook=HOOK, on=on))
    agentflow.client.approvals.approve(approval_id(hands, run_id), by="ada")
    hands.work()

    assert told(hands, run_id) == events


def test_run_without_notices_tells_nobody(hands: Hands) -> None:
    assert notices(hands, begun(hands)) == []


def test_notices_are_hinted_to_the_relays_of_their_kinds(agentflow: Harness) -> None:
    hands = a_clerk(agentflow, "hello")
    run_id = hands.submit(hands.runtime.registry.agents["clerk"], "hi", notify=BOTH)

    def both(tx: Any) -> list[Any]:
        locked = runs.lock(tx, run_id)
        assert locked is not None
        run, _ = locked
        ended = notify_end(tx, run, RunStatus.FAILED, None, "deadline")
        return [*notify_person(tx, run, "in_doubt"), *ended]

    hints = agentflow.database.atomically(both)

    assert hints == [relay_hint("webhook"), relay_hint("email")] * 2
    assert [row["item"] for row in notices(hands, run_id)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("notify", "says"),
    [
        ({}, "tells nobody; give webhook= or email="),
        ({"email": "a@example.com", "on": ()}, "name 'end', 'person' or both"),
        ({"email": "a@example.com", "on": ("start",)}, "name 'end', 'person' or both"),
        ({"email": "a@example.com", "on": "end"}, "name 'end', 'person' or both"),
        ({"email": "a@example.com\r\nBcc: all@example.com"}, "holds a line break"),
        ({"email": "a@example.com, b@example.com"}, "give one address"),
        ({"email": "nobody"}, "give one address"),
        ({"email": 7}, "can tell nobody so"),
        ({"webhook": "ftp://example.com"}, "can't be used"),
        ({"webhook": "http://user:pw@example.com"}, "names a user before its host"),
        ({"webhook": "http://127.0.0.1/hook"}, "private address"),
        ({"webhook": "http://localhost/hook"}, "private address"),
        ({"webhook": "http://[::ffff:10.0.0.1]/hook"}, "private address"),
        ({"webhook": "http://0x7f000001/hook"}, "private address"),
    ],
    ids=str,
)
def test_notice_that_could_not_be_sent_is_refused_and_nothing_is_submitted(
    hands: Hands, notify: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(SubmissionRefused, match=says):
        hands.submit(hands.runtime.registry.agents["clerk"], "hi", notify=Notify(**notify))

    assert hands.sql("select * from agentflow.agent_runs") == []


def test_private_address_that_the_operator_allows_may_be_told(hands: Hands, agentflow: Harness) -> None:
    here = settings().model_copy(update={"webhook_private": "127.0.0.0/8", "db_schema": "agentflow"})

    with Client(database_url=agentflow.database.url, settings=here, hints=agentflow.hints) as client:
        run_id = client.submit("clerk", "hi", notify=Notify(webhook="http://127.0.0.1:1/hook", on=("person",))).run_id
    hands.work()

    assert told(hands, run_id) == [("run.waiting", "waiting_human")]
