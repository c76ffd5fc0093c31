"""Owns the runs that history is made of: real ones, of each agent one."""

from __future__ import annotations

from bench.figures import Broken
from bench.growth.agents import LINE, TALK
from bench.loads.copying import has_kept, keep
from bench.loads.queries import Queries
from bench.stack import Stack
from bench.waiting import until

_WAIT_S = 120.0
_UNSENT = "select count(*) from outbox where run_id = any(%(ids)s::uuid[]) and status <> 'sent'"


def keep_templates(stack: Stack, queries: Queries) -> None:
    """Have the workers do one run of each agent, and keep what these left; those that are kept already stay."""
    if has_kept(queries):
        return
    ids = [_done(stack, LINE, {"number": 1}), _done(stack, TALK, "Where is my order 4421?")]
    until(lambda: not queries.value(_UNSENT, {"ids": ids}), "end of the deliveries", timeout_s=_WAIT_S)
    keep(queries, ids)


def _done(stack: Stack, agent: str, given: object) -> str:
    run = stack.client.submit(agent, given).wait(_WAIT_S)
    if run.status != "done":
        raise Broken(f"the run of {agent!r} that history is made of ended {run.status}: {run.error}")
    return run.run_id
