"""Notices: queueing what a run tells of itself to whom its submission named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentflow.domain.hint import Hint, relay_hint
from agentflow.domain.outcome import OutboxMessage
from agentflow.domain.run import Run, RunStatus
from agentflow.domain.waiting import IN_DOUBT, Person
from agentflow.store import notices
from agentflow.store.database import Transaction

_WANTS = {
    Person.APPROVAL.value: "It wants an approval: `agentflow approvals list` shows what is asked.",
    Person.QUESTION.value: "It asks a question: `agentflow approvals list` shows it.",
    IN_DOUBT: "A call may or may not have happened, and a person has to say which.",
}


def notify_person(tx: Transaction, run: Run, waiting_reason: str | None) -> list[Hint]:
    """Tell that a locked run waits for a person; return the hints of the relays."""
    if "person" not in run.notify.get("on", ()):
        return []
    told = {"status": RunStatus.WAITING_HUMAN.value, "outcome": None, "reason": waiting_reason}
    subject = f"Run {run.run_id} of {run.agent} waits for a person"
    more = _WANTS.get(waiting_reason or "", f"It waits for {waiting_reason or 'somebody'}.")
    return _queue(tx, run, "run.waiting", told, subject, more)


def notify_end(tx: Transaction, run: Run, status: RunStatus, outcome: str | None, reason: str | None) -> list[Hint]:
    """Tell how a locked run ended; return the hints of the relays."""
    if "end" not in run.notify.get("on", ()):
        return []
    told = {"status": status.value, "outcome": outcome, "reason": reason}
    subject = f"Run {run.run_id} of {run.agent} is {status.value}"
    known = (("Outcome", outcome), ("Reason", reason if reason != status.value else None))
    more = "\n".join(f"{name}: {value}." for name, value in known if value)
    return _queue(tx, run, "run.ended", told, subject, more)


def _queue(tx: Transaction, run: Run, event: str, told: Mapping[str, Any], subject: str, more: str) -> list[Hint]:
    messages = _messages(run, {"event": event, **_about(run), **told}, _one_line(subject), more)
    notices.queue(tx, messages, tenant=run.tenant, run_id=run.run_id)
    return [relay_hint(message.kind) for message in messages]


def _messages(run: Run, told: Mapping[str, Any], subject: str, more: str) -> Sequence[OutboxMessage]:
    webhook, email = run.notify.get("webhook"), run.notify.get("email")
    messages = [OutboxMessage("webhook", {"url": webhook, "payload": told})] if webhook else []
    if email:
        body = "\n\n".join(
            part for part in (f"{subject}.", more, f"Look at it: agentflow runs show {run.run_id}") if part
        )
        messages.append(OutboxMessage("email", {"to": email, "subject": subject, "body": f"{body}\n"}))
    return messages


def _about(run: Run) -> Mapping[str, Any]:
    return {
        "run_id": run.run_id,
        "agent": run.agent,
        "user_id": run.user_id,
        "conversation_id": run.conversation_id,
    }


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
