"""Owns which doubts there ever were, and which of the faults that were made on purpose explain each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.checker.evidence import Evidence, Fault
from tests.checker.records import Records, step_of

# Faults that no call notices: what they hit are messages, schedules and what the world answers (its own lines tell).
_ELSEWHERE = ("redis", "valkey", "beat", "message", "deploy", "misbehave")
_CHILD = "child"
_AFTERWARDS_S = 2.0

_STEPS = """
    select a.run_id, a.step_index, a.attempt, a.started_at, coalesce(a.ended_at, clock_timestamp()) as ended_at,
        case s.tool_name when 'compensate' then s.idempotency_key
            else s.idempotency_key || case when s.key_generation > 1 then '#' || s.key_generation else '' end
        end as key
    from {schema}.attempts a
    join {schema}.agent_steps s on s.run_id = a.run_id and s.step_index = a.step_index
    where a.status = 'in_doubt' or (not s.verify_after and exists (
        select from {schema}.agent_steps v
        where v.run_id = a.run_id and v.subject_index = a.step_index and v.tool_name = 'verify'
            and (v.tool_input ->> 'attempt')::int = a.attempt
    ))
    order by a.started_at
"""

_MESSAGES = """
    select o.message_id as key, o.created_at as started_at, o.updated_at as ended_at from {schema}.outbox o
    where o.status = 'in_doubt' or exists (
        select from {schema}.interventions i
        where i.run_id = o.run_id and i.details ->> 'message_id' = o.message_id::text
            and i.details ->> 'was' = 'in_doubt'
    )
    order by o.created_at
"""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A call of which nobody could tell whether it happened: under which key, and between which times, it was made."""

    subject: str
    key: str
    began_at: float
    ended_at: float


def doubts_of(records: Records) -> Iterator[Doubt]:
    """Return every doubt that the database tells of, resolved or not: of attempts and of messages."""
    for row in records.rows(_STEPS):
        yield Doubt(step_of(row), row["key"], row["started_at"].timestamp(), row["ended_at"].timestamp())
    for row in records.rows(_MESSAGES):
        subject = f"message {row['key']}"
        yield Doubt(subject, row["key"], row["started_at"].timestamp(), row["ended_at"].timestamp())


def unexplained(doubts: Sequence[Doubt], evidence: Evidence) -> list[Doubt]:
    """Return the doubts that no fault accounts for; the loss of one child accounts for no more than one."""
    bad_answers = {arrival.key or arrival.name for arrival in evidence.arrivals if arrival.fault}
    names = {arrival.name.strip("<>").partition("@")[0] for arrival in evidence.arrivals if arrival.fault}
    wide = [fault for fault in evidence.faults if _hits_calls(fault) and _CHILD not in fault.kind]
    single = [fault for fault in evidence.faults if _hits_calls(fault) and _CHILD in fault.kind]
    left = [
        doubt
        for doubt in doubts
        if doubt.key not in bad_answers | names and not any(_overlaps(doubt, fault) for fault in wide)
    ]
    return _unmatched(left, single)


def _hits_calls(fault: Fault) -> bool:
    return not any(word in fault.kind for word in _ELSEWHERE)


def _overlaps(doubt: Doubt, fault: Fault) -> bool:
    return fault.began_at <= doubt.ended_at and doubt.began_at <= fault.ended_at + _AFTERWARDS_S


def _unmatched(doubts: Sequence[Doubt], faults: Sequence[Fault]) -> list[Doubt]:
    """Give each doubt a fault of its own, as many as can be; return those that got none."""
    given: dict[int, Doubt] = {}
    return [doubt for doubt in doubts if not _give(doubt, faults, given, set())]


def _give(doubt: Doubt, faults: Sequence[Fault], given: dict[int, Doubt], tried: set[int]) -> bool:
    for place, fault in enumerate(faults):
        if place in tried or not _overlaps(doubt, fault):
            continue
        tried.add(place)
        if place not in given or _give(given[place], faults, given, tried):
            given[place] = doubt
            return True
    return False
