"""Owns the submission of whole conversations: each customer's message is a run, all submitted at once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, text

from agentflow import Client
from tests.acceptance.airline.dataset import Conversation
from tests.acceptance.airline.waiting import wait_until

SUBMITTED = text("select count(*) from agentflow.agent_runs")
UNFINISHED = text(
    "select status, waiting_reason, count(*) from agentflow.agent_runs "
    "where status not in ('done', 'failed', 'cancelled') group by 1, 2 order by 3 desc"
)


def submit_conversations(client: Client, conversations: Iterable[Conversation]) -> None:
    """Submit every message, first all the first ones.

    Nobody waits for an answer before the next message: agentflow keeps the order within a conversation.
    """
    messages = [
        (number, conversation.conversation_id, turn.message)
        for conversation in conversations
        for number, turn in enumerate(conversation.turns)
    ]
    for number, conversation_id, message in sorted(messages, key=lambda each: each[0]):
        client.submit(
            "airline",
            message,
            user=conversation_id,
            conversation=conversation_id,
            idempotency_key=f"{conversation_id}:{number}",
        )


def wait_for_runs(engine: Engine, *, timeout_s: float) -> None:
    """Return once every run is final; raise TimeoutError saying where the others stand."""
    wait_until(
        lambda: not unfinished_runs(engine),
        timeout_s=timeout_s,
        otherwise=lambda: f"these runs are not final: {unfinished_runs(engine)}",
    )


def unfinished_runs(engine: Engine) -> list[tuple[str, str | None, int]]:
    """Return how many runs stand where, of those that are not final."""
    with engine.connect() as connection:
        return [(status, reason, count) for status, reason, count in connection.execute(UNFINISHED)]


def count_runs(engine: Engine) -> int:
    """Return how many runs there are."""
    with engine.connect() as connection:
        return int(connection.execute(SUBMITTED).scalar_one())
