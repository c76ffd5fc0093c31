"""Group 1, what was done: per idempotency key as many effects in the world as the class of the step promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row, step_of
from tests.world.arrival import Arrival

GROUP = 1
CALLED = ("keyed", "idempotent", "verified", "unsafe")
_HARMLESS = ("read", "verify", "model")
_OWN = ("model", "verify", "approval", "question", "compensate")

_STEPS = """
    select s.run_id, s.step_index, s.tool_name, s.effect, s.status, s.attempt, s.finished_at,
        s.error ->> 'happened' as happened,
        s.idempotency_key || case when s.key_generation > 1 then '#' || s.key_generation else '' end as sent_key,
        (select count(*) from {schema}.interventions i where i.run_id = s.run_id and i.step_index = s.step_index
            and i.act = 'resolved' and i.details ->> 'resolution' = 'retry') as repeats
    from {schema}.agent_steps s
    where s.attempt > 0
"""

_ANSWERED_ELSEWHERE = """
    select s.run_id, s.step_index, s.idempotency_key from {schema}.agent_steps s
    where s.status = 'ok' and s.attempt = 0 and s.business_key and not exists (
        select from {schema}.idempotency_records k
        where k.tenant = s.tenant and k.tool = s.tool_name and k.key = s.idempotency_key and k.status <> 'in_flight'
            and (k.run_id, k.step_index) <> (s.run_id, s.step_index)
    )
"""

Key = tuple[str, str, str]


def check_effects(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Compare the world's arrivals with the steps that were tried."""
    steps, arrived = _steps_by_key(records), _arrivals_by_key(records, evidence)
    for key in arrived.keys() - steps.keys():
        yield Violation(GROUP, key[2], f"{key[1]!r} was called ({key[0]}), and no step that was tried knows of it")
    for key, tried in steps.items():
        yield from _of_key(key, tried, arrived.get(key, ()))
    yield from _overwritten(steps, evidence)
    for arrival in evidence.arrivals:
        if arrival.door in _HARMLESS and arrival.effect:
            yield Violation(GROUP, arrival.key or arrival.name, f"{arrival.door!r} had an effect, which it never has")
    for row in records.rows(_ANSWERED_ELSEWHERE):
        yield Violation(GROUP, step_of(row), f"is ok by the key {row['idempotency_key']!r}, which nobody has answered")


def _steps_by_key(records: Records) -> Mapping[Key, Sequence[Row]]:
    steps: dict[Key, list[Row]] = defaultdict(list)
    for row in records.rows(_STEPS):
        if row["effect"] in CALLED and row["tool_name"] not in _OWN:
            steps[row["effect"], row["tool_name"], row["sent_key"]].append(row)
    return steps


def _arrivals_by_key(records: Records, evidence: Evidence) -> Mapping[Key, Sequence[Arrival]]:
    """Return the calls of tools; a message of a user's own kind may come in by the same doors, under its row's id."""
    arrived: dict[Key, list[Arrival]] = defaultdict(list)
    messages = {row["message_id"] for row in records.rows("select message_id from {schema}.outbox")}
    for arrival in evidence.arrivals:
        if arrival.door in CALLED and arrival.key not in messages:
            arrived[arrival.door, arrival.name, arrival.key].append(arrival)
    return arrived


def _of_key(key: Key, tried: Sequence[Row], arrivals: Sequence[Arrival]) -> Iterator[Violation]:
    door, name, sent_key = key
    least, most = _promised(tried)
    effects = sum(arrival.effect for arrival in arrivals)
    if not least <= effects <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        stands = ", ".join(f"{step_of(row)} is {row['status']}" for row in tried)
        yield Violation(GROUP, sent_key, f"{name!r} ({door}) had {effects} effects instead of {wanted}: {stands}")
    if door == "keyed" and len(bodies := {arrival.body for arrival in arrivals}) > 1:
        yield Violation(GROUP, sent_key, f"{name!r} was called with {len(bodies)} different bodies under one key")


def _promised(tried: Sequence[Row]) -> tuple[float, float]:
    """Return how often it may have happened; a person who had it called again has taken that upon them."""
    least = max(int(row["status"] == "ok") for row in tried)
    most = max(int(row["status"] == "ok" or row["happened"] != "false") for row in tried)
    if tried[0]["effect"] == "idempotent":
        return least, inf if most else 0
    return least, most + sum(row["repeats"] for row in tried)


def _overwritten(steps: Mapping[Key, Sequence[Row]], evidence: Evidence) -> Iterator[Violation]:
    """Find what a step that was over wrote to an object after another key had."""
    written: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in evidence.arrivals:
        if arrival.door == "idempotent" and arrival.effect:
            written[arrival.name, arrival.subject].append(arrival)
    for (name, subject), writes in written.items():
        seen = {writes[0].key}
        for before, write in pairwise(writes):
            own = steps.get(("idempotent", name, write.key), ())
            if write.key in seen and before.key != write.key and _is_over(own, write.at):
                what = f"wrote {subject!r} late: its step was ok by then, and {before.key!r} had written"
                yield Violation(GROUP, write.key, what)
            seen.add(write.key)


def _is_over(steps: Sequence[Row], at: float) -> bool:
    return bool(steps) and all(row["status"] == "ok" and row["finished_at"].timestamp() < at for row in steps)
