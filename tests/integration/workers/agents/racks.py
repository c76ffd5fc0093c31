"""What the later releases do with theirs: they read each step's rack."""

from __future__ import annotations

from sqlalchemy import text

from agentflow import Context, Pipeline, tool
from tests.integration.workers.agents.outside import arrive
from tests.integration.workers.agents.shop import charge, enter, price

_FIND = text("select rack from agentflow.agent_steps where run_id = :run_id and step_index = :step_index")


@tool(effect="transactional")
def place(ctx: Context, order: str) -> str:
    """Say where the order is placed."""
    arrive(ctx, "place", order=order)
    found = ctx.connection.execute(_FIND, {"run_id": ctx.run.run_id, "step_index": ctx.step_index})
    return str(found.scalar_one())


storing = Pipeline("storing", [price, charge, enter, place])
