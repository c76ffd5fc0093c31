"""Owns a backlog of the outbox: messages of finished runs that are due again, all at the same moment."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Broken
from bench.loads.agents import CARDS
from bench.loads.queries import Queries
from bench.stack import Stack
from bench.waiting import until

PER_RUN = CARDS

_PATIENCE_S = 600.0
_UNSENT = "select count(*) from outbox where kind = 'card' and status <> 'sent'"
# As an outage of the other side leaves them: put off, and then due.
_MAKE_DUE = """
update outbox set status = 'pending', attempt = 0, claim_token = null, worker_id = null, worker_pid = null,
    lease_until = null, sent_at = null, next_attempt_at = clock_timestamp()
where kind = 'card'
"""
_TAKEN = "select extract(epoch from max(sent_at) - %(since)s)::float from outbox where kind = 'card'"


def delivered_after_s(stack: Stack, queries: Queries, run_ids: Sequence[str]) -> float:
    """Make all messages of some runs due at once, and return after how many seconds the last of them is sent."""
    for run_id in run_ids:
        run = stack.client.wait(run_id, timeout_s=_PATIENCE_S)
        if run.status != "done":
            raise Broken(f"a run that sends messages ended {run.status}: {run.error}")
    _wait_until_sent(queries)
    since = queries.value("select clock_timestamp()")
    due = queries.run(_MAKE_DUE)
    if due != len(run_ids) * PER_RUN:
        raise Broken(f"{due:,} messages are due, not {len(run_ids) * PER_RUN:,}")
    _wait_until_sent(queries)
    return float(queries.value(_TAKEN, {"since": since}))


def _wait_until_sent(queries: Queries) -> None:
    until(lambda: not queries.value(_UNSENT), "end of the deliveries", timeout_s=_PATIENCE_S)
