"""Owns the proof that each e-mail was written once, by the step or the undoing that meant it, and arrived once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agentflow.domain.step import COMPENSATE
from agentflow.store.database import Row
from examples.refunds.desk import Case
from examples.refunds.post import Letter

WRITERS = ("send_customer_email", "send_confirmation", COMPENSATE)


def queue_faults(cases: Sequence[Case], outbox: Sequence[Row]) -> Iterator[str]:
    """Name the steps that queued another number of e-mails than one each."""
    queued = Counter((str(row["run_id"]), row["step_index"]) for row in outbox)
    written = {
        (case.run.run_id, step.step_index)
        for case in cases
        for tool in WRITERS
        for step in case.steps_of(tool)
        if step.status == "ok"
    }
    for place in sorted(written | set(queued)):
        if queued[place] != 1 or place not in written:
            yield f"step {place[1]} of run {place[0]} queued {queued[place]} e-mails"


def arrival_faults(outbox: Sequence[Row], letters: Sequence[Letter]) -> Iterator[str]:
    """Name the e-mails that did not arrive exactly once, by the mail server's own log, and those that nobody queued."""
    taken = Counter((each.message_id, each.recipient) for each in letters if each.event == "taken")
    for row in outbox:
        whose = row["payload"]["to"]
        if row["status"] != "sent":
            yield f"the e-mail to {whose} is {row['status']}: {(row['error'] or {}).get('message')}"
        elif (times := taken.pop((row["response"]["message_id"], whose), 0)) != 1:
            yield f"the e-mail to {whose} is sent, and arrived {times} times"
    for message_id, whose in taken:
        yield f"the e-mail {message_id} to {whose} arrived, and is not in the outbox as sent"


def arrivals_of(rows: Sequence[Row], letters: Sequence[Letter]) -> int:
    """Return how many times these messages arrived."""
    ids = {(row["response"] or {}).get("message_id") for row in rows}
    return sum(each.event == "taken" and each.message_id in ids for each in letters)
