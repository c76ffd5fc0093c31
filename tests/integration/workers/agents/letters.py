"""Messages of kinds of one's own: letters, which nobody may send twice, and parcels, of which a repeat is known."""

from __future__ import annotations

from agentflow import Context, Pipeline, delivery, tool
from agentflow.domain.delivery import Delivery
from tests.integration.workers.agents.outside import wait_at, write

HELD = "held"
LETTER_TIMEOUT_S = 2.0


def _arrive(message: Delivery) -> str:
    """Let it happen; of those that are to be held, the first try is held then."""
    write(message.kind, run=message.run_id, key=message.message_id, attempt=message.attempt, n=message.payload["n"])
    if message.payload["held"] and message.attempt == 1:
        wait_at(HELD)
    return "arrived"


@delivery("letter", effect="unsafe", timeout_s=LETTER_TIMEOUT_S)
def send_letter(message: Delivery) -> str:
    """Arrive each time it is sent."""
    return _arrive(message)


@delivery("parcel", effect="keyed", timeout_s=60)
def send_parcel(message: Delivery) -> str:
    """Arrive once per id, as the other side sees it."""
    return _arrive(message)


@tool(effect="transactional")
def post(ctx: Context, kind: str, count: int, held: int | None = None) -> str:
    """Queue messages, of which one may be held on its way."""
    for n in range(count):
        ctx.outbox.send(kind, {"n": n, "held": n == held})
    return f"{count} of {kind}"


posting = Pipeline("post", [post])
