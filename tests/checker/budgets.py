"""Group 4, what runs spent: never over a ceiling, nothing reserved at rest, and what the call log adds up to."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, step_of

GROUP = 4

_RUNS = """
    select r.run_id, r.spent_attempts, r.spent_tool_calls, r.spent_tokens, r.spent_cost_usd, r.reserved_tokens,
        r.reserved_cost_usd, (r.budget ->> 'attempts')::numeric as most_attempts, s.steps,
        (r.budget ->> 'tool_calls')::numeric as most_tool_calls, (r.budget ->> 'tokens')::numeric as most_tokens,
        (r.budget ->> 'cost_usd')::numeric as most_cost_usd, (r.budget ->> 'steps')::numeric as most_steps,
        coalesce(s.attempts, 0) as attempts, coalesce(s.tool_calls, 0) as tool_calls, coalesce(s.running, 0) as running,
        coalesce(s.reserved_tokens, 0) as steps_reserved_tokens,
        coalesce(s.reserved_cost_usd, 0) as steps_reserved_cost_usd,
        coalesce(c.tokens, 0) as tokens, coalesce(c.cost_usd, 0) as cost_usd
    from {schema}.agent_runs r
    left join (
        select s.run_id, count(*) filter (where s.status = 'running') as running,
            count(*) filter (where s.tool_name not in ('verify', 'compensate', 'approval')) as steps,
            count(*) filter (where s.attempt > 0 and s.tool_name not in ('model', 'verify', 'compensate', 'approval'))
                as tool_calls,
            sum(s.reserved_tokens) as reserved_tokens, sum(s.reserved_cost_usd) as reserved_cost_usd,
            sum((select count(*) from {schema}.attempts a where a.run_id = s.run_id and a.step_index = s.step_index))
                filter (where s.tool_name not in ('verify', 'compensate')) as attempts
        from {schema}.agent_steps s group by s.run_id
    ) s on s.run_id = r.run_id
    left join (
        select run_id, sum(prompt_tokens::bigint + completion_tokens) as tokens, sum(cost_usd) as cost_usd
        from {schema}.model_calls group by run_id
    ) c on c.run_id = r.run_id
"""

_UNDOING = """
    select c.run_id, c.step_index, c.attempt, (r.budget ->> 'compensation_attempts')::int as most
    from {schema}.agent_steps c join {schema}.agent_runs r on r.run_id = c.run_id
    where c.tool_name = 'compensate' and c.attempt > (r.budget ->> 'compensation_attempts')::int
        and not exists (select from {schema}.interventions i where i.run_id = c.run_id and i.act = 'retried')
"""

_CALLS = """
    select c.run_id, c.step_index, c.attempt from {schema}.model_calls c
    left join {schema}.attempts a on a.run_id = c.run_id and a.step_index = c.step_index and a.attempt = c.attempt
    where a.run_id is null
"""

_SPENT = ("attempts", "tool_calls", "tokens", "cost_usd")
_RESERVED = ("tokens", "cost_usd")


def check_budgets(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Add up what was called, and compare it with what each run says and may."""
    for row in records.rows(_RUNS):
        for what in (*_ceilings(row), *_sums(row), *_reservations(row)):
            yield Violation(GROUP, f"run {row['run_id']}", what)
    for row in records.rows(_UNDOING):
        yield Violation(GROUP, step_of(row), f"was tried {row['attempt']} times; {row['most']} are allowed")
    for row in records.rows(_CALLS):
        yield Violation(GROUP, step_of(row), f"has a model call of an attempt {row['attempt']} that never was")


def _ceilings(row: Row) -> Iterator[str]:
    for name in _SPENT:
        used = Decimal(row[f"spent_{name}"]) + Decimal(row.get(f"reserved_{name}") or 0)
        if row[f"most_{name}"] is not None and used > row[f"most_{name}"]:
            yield f"has spent or reserved {used} of {row[f'most_{name}']} {name}"
    if row["most_steps"] is not None and (row["steps"] or 0) > row["most_steps"]:
        yield f"has {row['steps']} steps of {row['most_steps']}"


def _sums(row: Row) -> Iterator[str]:
    for name in _SPENT:
        if row[f"spent_{name}"] != row[name]:
            yield f"says that it spent {row[f'spent_{name}']} {name}; its log adds up to {row[name]}"


def _reservations(row: Row) -> Iterator[str]:
    for name in _RESERVED:
        held, of_steps = row[f"reserved_{name}"], row[f"steps_reserved_{name}"]
        if held != of_steps or held < 0:
            yield f"has reserved {held} {name}; its steps {of_steps}"
        if (held or of_steps) and not row["running"]:
            yield f"has {held} {name} reserved, and nothing runs"
