"""What a worker of an older release knows: one tool, in a queue that newer tools share."""

from __future__ import annotations

from agentflow import Context, Pipeline, tool
from tests.integration.workers.agents.outside import arrive

COUNTER = "tool.counter"


@tool(effect="keyed", queue=COUNTER)
def stamp(ctx: Context, paper: str) -> str:
    """Stamp a paper."""
    arrive(ctx, "stamp", paper=paper, key=ctx.idempotency_key)
    return f"stamped {paper}"


papers = Pipeline("papers", [stamp])
