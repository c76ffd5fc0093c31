"""Group 1, what was undone: each effect at most once, and all or none of a run's as the run says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, step_of

GROUP = 1

_COMPENSATIONS = """
    select c.run_id, c.step_index, c.status, c.attempt, c.subject_index, c.idempotency_key as key,
        s.idempotency_key || case when s.key_generation > 1 then '#' || s.key_generation else '' end as undone_key,
        (select count(*) from {schema}.interventions i where i.run_id = c.run_id and i.step_index = c.step_index
            and i.act = 'resolved' and i.details ->> 'resolution' = 'retry') as repeats
    from {schema}.agent_steps c
    join {schema}.agent_steps s on s.run_id = c.run_id and s.step_index = c.subject_index
    where c.tool_name = 'compensate'
"""

_LEFT = """
    select s.run_id, s.step_index, s.tool_name, s.status from {schema}.agent_steps s
    join {schema}.agent_runs r on r.run_id = s.run_id
    where r.finished_at is not null and r.compensation = 'done' and s.effect <> 'read' and s.attempt > 0
        and s.tool_name not in ('model', 'verify', 'approval', 'question', 'compensate')
        and exists (
            select from {schema}.agents a, jsonb_array_elements(a.tools) t
            where a.name = r.agent and a.version = s.agent_version and t ->> 'name' = s.tool_name
                and jsonb_typeof(t -> 'compensate') = 'object'
        )
        and (s.status = 'ok' or (s.error is not null and s.error ->> 'happened' is distinct from 'false'))
        and not exists (
            select from {schema}.agent_steps c
            where c.run_id = s.run_id and c.subject_index = s.step_index and c.tool_name = 'compensate'
                and c.status in ('ok', 'skipped')
        )
"""

_NOT_KEPT = """
    select c.run_id, c.step_index, r.compensation from {schema}.agent_steps c
    join {schema}.agent_runs r on r.run_id = c.run_id
    where r.finished_at is not null and c.tool_name = 'compensate' and c.attempt > 0
        and coalesce(r.compensation, 'kept') = 'kept'
"""


def check_undoings(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Compare what arrived at the world's door for undoing with the compensations that were tried."""
    steps: Mapping[str, Row] = {row["key"]: row for row in records.rows(_COMPENSATIONS)}
    effects: Counter[str] = Counter()
    for arrival in evidence.arrivals:
        if arrival.door != "undo":
            continue
        step = steps.get(arrival.key)
        if step is None or step["attempt"] == 0 or step["undone_key"] != arrival.subject:
            yield Violation(GROUP, arrival.key, f"{arrival.subject!r} was undone, and no compensation knows of it")
        effects[arrival.key] += arrival.effect
    yield from _counted(steps, effects)
    for row in records.rows(_LEFT):
        what = f"{row['tool_name']!r} is {row['status']} and was not undone, though the run says that all was"
        yield Violation(GROUP, step_of(row), what)
    for row in records.rows(_NOT_KEPT):
        yield Violation(GROUP, step_of(row), f"undid something in a run whose compensation is {row['compensation']!r}")


def _counted(steps: Mapping[str, Row], effects: Counter[str]) -> Iterator[Violation]:
    by_subject: dict[tuple[str, int], list[str]] = defaultdict(list)
    for key, step in steps.items():
        by_subject[step["run_id"], step["subject_index"]].append(key)
        if step["status"] == "ok" and step["attempt"] and not effects[key]:
            yield Violation(GROUP, step_of(step), f"is ok, and {step['undone_key']!r} was never undone")
    for keys in by_subject.values():
        times, most = sum(effects[key] for key in keys), 1 + sum(steps[key]["repeats"] for key in keys)
        if times > most:
            yield Violation(GROUP, steps[keys[0]]["undone_key"], f"was undone {times} times")
