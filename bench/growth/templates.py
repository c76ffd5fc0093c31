"""Owns the runs that history is made of: real ones, whose rows are kept in a schema of their own."""

from __future__ import annotations

from bench.figures import Broken
from bench.growth.agents import LINE, TALK
from bench.growth.shape import TEMPLATES, filled_tables
from bench.loads.queries import Queries
from bench.stack import Stack
from bench.waiting import until

_WAIT_S = 120.0
_UNSENT = "select count(*) from outbox where run_id = any(%(ids)s::uuid[]) and status <> 'sent'"
# What all runs of an agent send first: its tools and its instructions.
_SHARED = f"create table {TEMPLATES}.shared as select hash from messages where body ->> 'role' in ('tools', 'system')"
_SAID = """
where hash in (
    with recursive said as (
        select m.hash, m.parent from messages m
        where m.hash in (select c.prompt_head from model_calls c where c.run_id = any(%(ids)s::uuid[]))
        union select m.hash, m.parent from messages m join said on m.hash = said.parent
    )
    select hash from said
)
"""


def keep_templates(stack: Stack, queries: Queries) -> None:
    """Have the workers do one run of each agent, and keep what these left; those that are kept already stay."""
    if queries.value("select to_regnamespace(%(name)s) is not null", {"name": TEMPLATES}):
        return
    ids = [_done(stack, LINE, {"number": 1}), _done(stack, TALK, "Where is my order 4421?")]
    until(lambda: not queries.value(_UNSENT, {"ids": ids}), "end of the deliveries", timeout_s=_WAIT_S)
    queries.run(f"create schema {TEMPLATES}")
    for table in filled_tables():
        which = _SAID if table.name == "messages" else "where run_id = any(%(ids)s::uuid[])"
        queries.run(f"create table {TEMPLATES}.{table.name} as select * from {table.name} {which}", {"ids": ids})
    queries.run(_SHARED)


def _done(stack: Stack, agent: str, given: object) -> str:
    run = stack.client.submit(agent, given).wait(_WAIT_S)
    if run.status != "done":
        raise Broken(f"the run of {agent!r} that history is made of ended {run.status}: {run.error}")
    return run.run_id
