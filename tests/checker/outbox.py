"""Group 5, what was sent: one row for each message, what is sent has arrived, and arrived once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records, Row
from tests.world.arrival import Arrival

GROUP = 5

_ROWS = """
    select o.message_id, o.run_id, o.step_index, o.item, o.kind, o.status, o.effect, o.attempt, s.status as step_status,
        (
            select count(*) from {schema}.interventions i
            where i.run_id = o.run_id and i.details ->> 'message_id' = o.message_id::text
                and i.details ->> 'is' = 'pending'
        ) as resent,
        r.run_id is not null as has_run
    from {schema}.outbox o
    left join {schema}.agent_runs r on r.run_id = o.run_id
    left join {schema}.agent_steps s on s.run_id = o.run_id and s.step_index = o.step_index
"""

_DOORS = ("mail", "hook")


def check_outbox(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Compare the outbox's rows with the letters and deliveries that came in."""
    rows = records.rows(_ROWS)
    known = {row["message_id"] for row in rows}
    arrived = [_id_of(arrival) for arrival in evidence.arrivals if arrival.effect and _is_message(arrival, known)]
    for message_id in sorted(set(arrived) - known):
        yield Violation(GROUP, f"message {message_id}", "arrived, and no row knows of it")
    yield from _repeated(rows)
    counts = Counter(arrived)
    for row in rows:
        yield from _of_row(row, counts[row["message_id"]])


def _is_message(arrival: Arrival, known: Set[str]) -> bool:
    """Say whether something came from the outbox: a letter, a webhook, or a user's own kind by its row's id as key."""
    return arrival.door in _DOORS or arrival.key in known


def _id_of(arrival: Arrival) -> str:
    """Return a message's id: a letter has it before the @ of its Message-ID, a webhook as its name, others as key."""
    return arrival.name.strip("<> ").partition("@")[0] if arrival.door in _DOORS else arrival.key


def _repeated(rows: Sequence[Row]) -> Iterator[Violation]:
    places = Counter((row["run_id"], row["step_index"], row["item"]) for row in rows)
    ids = Counter(row["message_id"] for row in rows)
    for (run_id, step_index, item), count in places.items():
        if count > 1:
            yield Violation(GROUP, f"run {run_id} step {step_index}", f"has {count} rows for its message {item}")
    for message_id, count in ids.items():
        if count > 1:
            yield Violation(GROUP, f"message {message_id}", f"is the id of {count} rows")


def _of_row(row: Row, times: int) -> Iterator[Violation]:
    subject = f"message {row['message_id']}"
    if row["status"] in ("pending", "claimed", "sending"):
        yield Violation(GROUP, subject, f"({row['kind']}) is still {row['status']}")
    if row["step_index"] >= 0 and row["step_status"] != "ok":
        yield Violation(GROUP, subject, f"was queued by a step that is {row['step_status'] or 'nowhere'}")
    if row["step_index"] < 0 and not row["has_run"]:
        yield Violation(GROUP, subject, "tells of a run that is nowhere")
    if row["status"] == "sent" and times == 0:
        yield Violation(GROUP, subject, f"({row['kind']}) is sent, and did not arrive")
    if times > _most(row):
        what = (
            f"({row['kind']}) arrived {times} times in {row['attempt']} attempts, {row['resent']} of them by a person"
        )
        yield Violation(GROUP, subject, what)


def _most(row: Row) -> int:
    """Return how often a message may arrive: again only where its class allows that, or a person has ordered it."""
    repeats = row["attempt"] if row["effect"] in ("keyed", "idempotent") else 1 + row["resent"]
    return min(row["attempt"], repeats)
