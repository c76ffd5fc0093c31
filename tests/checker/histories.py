"""Group 3, how runs went: steps without gaps, attempts one after the other, and only legal changes of status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.checker.evidence import Evidence, Violation
from tests.checker.legal import NEXT, REOPENED
from tests.checker.records import Records, Row, step_of

GROUP = 3

_GAPS = """
    select r.run_id, r.current_step, count(*) as steps, min(s.step_index) as first, max(s.step_index) as last
    from {schema}.agent_runs r join {schema}.agent_steps s on s.run_id = r.run_id
    group by r.run_id
    having min(s.step_index) <> 0 or max(s.step_index) <> count(*) - 1 or r.current_step > max(s.step_index)
"""

_COUNTS = """
    select s.run_id, s.step_index, s.status, s.attempt, count(a.attempt) as rows, coalesce(min(a.attempt), 1) as first,
        coalesce(max(a.attempt), 0) as last, count(*) filter (where a.status = 'ok') as results,
        max(a.attempt) filter (where a.status = 'ok') as result,
        count(a.attempt) filter (
            where a.ended_at is null and (s.status <> 'running' or a.attempt < s.attempt)
        ) as endless
    from {schema}.agent_steps s
    left join {schema}.attempts a on a.run_id = s.run_id and a.step_index = s.step_index
    group by s.run_id, s.step_index
"""

_ORPHANS = """
    select a.run_id, a.step_index, a.attempt from {schema}.attempts a
    left join {schema}.agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
    where s.run_id is null
"""

_OVERLAPS = """
    select run_id, step_index, attempt from (
        select run_id, step_index, attempt, started_at,
            lag(ended_at) over (partition by run_id, step_index order by attempt) as before_ended_at
        from {schema}.attempts
    ) a
    where started_at < before_ended_at
"""

_ENDS = """
    select run_id, null::int as step_index, status, finished_at is not null as has_end,
        status in ('done', 'failed', 'cancelled') as is_final
    from {schema}.agent_runs where (finished_at is not null) <> (status in ('done', 'failed', 'cancelled'))
    union all
    select run_id, step_index, status, finished_at is not null, status in ('ok', 'error', 'skipped')
    from {schema}.agent_steps where (finished_at is not null) <> (status in ('ok', 'error', 'skipped'))
"""

_LEFT_OPEN = """
    select s.run_id, s.step_index, s.status, r.status as run_status from {schema}.agent_steps s
    join {schema}.agent_runs r on r.run_id = s.run_id
    where r.finished_at is not null and s.status in ('pending', 'running', 'in_doubt')
"""

_WORDLESS = """
    select run_id, status from {schema}.agent_runs
    where (status = 'done' and outcome is null) or (status = 'failed' and error is null)
"""

_TRANSITIONS = """
    select r.run_id, r.status, t.old, t.new, t.reason,
        exists (select from {schema}.interventions i where i.run_id = r.run_id and i.act = 'retried') as is_retried
    from {schema}.agent_runs r left join {schema}.transitions t on t.run_id = r.run_id
    order by r.run_id, t.id
"""


def check_histories(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Read every run's steps, attempts and changes of status."""
    for row in records.rows(_GAPS):
        what = f"has {row['steps']} steps, from {row['first']} to {row['last']}, and stands at {row['current_step']}"
        yield Violation(GROUP, f"run {row['run_id']}", what)
    for row in records.rows(_COUNTS):
        yield from _attempts(row)
    for row in records.rows(_ORPHANS):
        yield Violation(GROUP, step_of(row), f"has an attempt {row['attempt']}, and does not exist")
    for row in records.rows(_OVERLAPS):
        yield Violation(GROUP, step_of(row), f"attempt {row['attempt']} began before the one before it had ended")
    yield from _endings(records)
    runs: dict[str, list[Row]] = defaultdict(list)
    for row in records.rows(_TRANSITIONS):
        runs[row["run_id"]].append(row)
    for run_id, rows in runs.items():
        for what in _changes(rows):
            yield Violation(GROUP, f"run {run_id}", what)


def _attempts(row: Row) -> Iterator[Violation]:
    if (row["rows"], row["first"], row["last"]) != (row["attempt"], 1, row["attempt"]):
        what = f"is at attempt {row['attempt']}, and has {row['rows']} from {row['first']} to {row['last']}"
        yield Violation(GROUP, step_of(row), what)
    if row["endless"]:
        yield Violation(GROUP, step_of(row), "has an attempt that never ended")
    if row["results"] > 1:
        yield Violation(GROUP, step_of(row), f"has {row['results']} results")
    if row["results"] and (row["result"] < row["last"] or row["status"] not in ("ok", "in_doubt")):
        yield Violation(GROUP, step_of(row), f"had its result at attempt {row['result']}, and is {row['status']} now")


def _endings(records: Records) -> Iterator[Violation]:
    for row in records.rows(_ENDS):
        subject = f"run {row['run_id']}" if row["step_index"] is None else step_of(row)
        yield Violation(GROUP, subject, f"is {row['status']}, {'with' if row['has_end'] else 'without'} an end")
    for row in records.rows(_LEFT_OPEN):
        yield Violation(GROUP, step_of(row), f"is {row['status']} in a run that is {row['run_status']}")
    for row in records.rows(_WORDLESS):
        yield Violation(GROUP, f"run {row['run_id']}", f"is {row['status']} and does not say how or why")


def _changes(rows: Sequence[Row]) -> Iterator[str]:
    if rows[0]["new"] is None:
        yield "has no transition at all"
        return
    if rows[0]["old"] is not None:
        yield f"began as {rows[0]['old']!r}"
    yield from _illegal(rows)
    for before, row in pairwise(rows):
        if row["old"] != before["new"]:
            yield f"became {before['new']!r}, and went on from {row['old']!r}"
    if rows[-1]["new"] != rows[0]["status"]:
        yield f"is {rows[0]['status']!r}, and its last transition went to {rows[-1]['new']!r}"


def _illegal(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["new"] not in NEXT.get(row["old"], frozenset()):
            yield f"went from {row['old']!r} to {row['new']!r} ({row['reason']}), which is not legal"
        if row["old"] in REOPENED and not row["is_retried"]:
            yield f"went from {row['old']!r} to {row['new']!r}, and nobody retried it"
