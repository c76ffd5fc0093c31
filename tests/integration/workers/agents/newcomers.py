"""What a newer release adds: another tool in the queue that the older workers serve too."""

from __future__ import annotations

from agentflow import Context, Pipeline, tool
from tests.integration.workers.agents.outside import arrive
from tests.integration.workers.agents.veterans import COUNTER


@tool(effect="keyed", queue=COUNTER)
def scan(ctx: Context, paper: str) -> str:
    """Scan a paper."""
    arrive(ctx, "scan", paper=paper, key=ctx.idempotency_key)
    return f"scanned {paper}"


scans = Pipeline("scans", [scan])
