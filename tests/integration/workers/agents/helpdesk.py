"""What only a newer release knows: an agent with a model, and messages of a kind of its own."""

from __future__ import annotations

from agentflow import Agent, Context, Pipeline, delivery, tool
from agentflow.domain.delivery import Delivery
from tests.integration.workers.agents.outside import write
from tests.integration.workers.agents.shop import charge, price


@delivery("pigeon", effect="keyed")
def send_pigeon(message: Delivery) -> str:
    """Arrive once per id, as the other side sees it."""
    write("pigeon", run=message.run_id, key=message.message_id, attempt=message.attempt)
    return "arrived"


@tool(effect="transactional")
def let_fly(ctx: Context, to: str) -> str:
    """Queue a message of the new kind."""
    ctx.outbox.send("pigeon", {"to": to})
    return to


pigeons = Pipeline("pigeons", [let_fly])
helpdesk = Agent("helpdesk", model="openai:gpt-4o-mini", instructions="You help.", tools=[price, charge])
