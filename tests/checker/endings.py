"""Group 2, how runs ended: each that was accepted is there, and is over, or rests for a reason that can be named."""

from __future__ import annotations

from collections.abc import Iterator

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, step_of
from tests.checker.troubles import doubts_of, unexplained

GROUP = 2

_OPEN_RUNS = """
    select r.run_id, r.tenant, r.status, r.waiting_reason, r.not_before > clock_timestamp() as is_early,
        (
            select array_agg(a.status || ':' || s.status order by s.step_index) from {schema}.approvals a
            join {schema}.agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
            where a.run_id = r.run_id
        ) as asked,
        exists (select from {schema}.agent_steps s where s.run_id = r.run_id and s.status = 'in_doubt') as is_in_doubt,
        r.pause_requested and exists (
            select from {schema}.interventions i where i.run_id = r.run_id and i.act = 'paused'
        ) as is_paused,
        exists (
            select from {schema}.agent_steps s join {schema}.holds h on h.bulkhead = s.bulkhead
            where s.run_id = r.run_id and s.status = 'pending'
        ) as is_held,
        (
            select c.turn_run_id from {schema}.conversations c
            where c.tenant = r.tenant and c.conversation_id = r.conversation_id and c.turn_run_id <> r.run_id
        ) as behind_turn,
        (
            select k.run_id from {schema}.agent_steps s
            join {schema}.idempotency_records k
                on k.tenant = s.tenant and k.tool = s.tool_name and k.key = s.idempotency_key
            where s.run_id = r.run_id and s.status = 'pending' and s.waiting_reason = 'key_in_flight'
                and k.status in ('in_doubt', 'in_flight', 'compensating') and k.run_id <> r.run_id
            limit 1
        ) as behind_key,
        exists (
            select from {schema}.idempotency_records k join {schema}.agent_steps s
                on k.tenant = s.tenant and k.tool = s.tool_name and k.key = s.idempotency_key
            where s.run_id = r.run_id and s.waiting_reason = 'key_in_flight' and k.status = 'in_doubt'
        ) as is_key_in_doubt
    from {schema}.agent_runs r
    where r.status not in ('done', 'failed', 'cancelled')
"""

_IN_DOUBT = "select run_id, step_index, waiting_reason from {schema}.agent_steps where status = 'in_doubt'"


def check_endings(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Look for runs that were lost, and for those that rest without anybody who could move them."""
    known = {row["run_id"] for row in records.rows("select run_id from {schema}.agent_runs")}
    for run_id in evidence.accepted:
        if str(run_id) not in known:
            yield Violation(GROUP, f"run {run_id}", "was accepted and does not exist")
    resting = {row["run_id"]: row for row in records.rows(_OPEN_RUNS)}
    for run_id, row in resting.items():
        if not _rests(row, resting, set()):
            why = f"is {row['status']} ({row['waiting_reason'] or 'no reason'}), and nothing holds it"
            yield Violation(GROUP, f"run {run_id}", why)
    yield from _doubts(records, evidence)


def _rests(row: Row, resting: dict[str, Row], seen: set[str]) -> bool:
    """Say whether a person, a time, or another run that rests itself is what the run waits for."""
    asked = set(row["asked"] or ())
    if row["is_early"] or row["is_held"] or row["is_key_in_doubt"]:
        return True
    if row["status"] == "paused":
        return bool(row["is_paused"])
    if row["status"] == "waiting_human":
        return bool(row["is_in_doubt"]) or "pending:pending" in asked
    seen.add(row["run_id"])
    behind = row["behind_turn"] or row["behind_key"]
    return behind in resting and behind not in seen and _rests(resting[behind], resting, seen)


def _doubts(records: Records, evidence: Evidence) -> Iterator[Violation]:
    without_cause = {doubt.subject for doubt in unexplained(list(doubts_of(records)), evidence)}
    for row in records.rows(_IN_DOUBT):
        if row["waiting_reason"] != "in_doubt":
            yield Violation(GROUP, step_of(row), f"is in doubt and waits for {row['waiting_reason']!r}, no person")
        if step_of(row) in without_cause:
            yield Violation(GROUP, step_of(row), "is in doubt, and no fault explains it")
