"""The outbox from a client: which messages there are, and what people do about those that did not arrive."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from agentflow.client.bulkheads import this_person
from agentflow.client.submitting import label
from agentflow.domain.delivery import DeliveryStatus
from agentflow.domain.errors import InterventionRefused, RunNotFound
from agentflow.domain.hint import HintPublisher, relay_hint
from agentflow.policy.person import checked_name, checked_reason
from agentflow.store import interventions, operations, outbox
from agentflow.store.database import Database, Row, Transaction

_SHORTEST_PREFIX, _DIGITS = 8, 32
_RESOLVED = (DeliveryStatus.SENT, DeliveryStatus.FAILED)
_RETRIED = (DeliveryStatus.FAILED, DeliveryStatus.IN_DOUBT)


class Messages:
    """The messages that runs send, for one tenant.

    A message's id may be given by its first digits, eight or more, as long as they are one's alone. `by` is who says
    so, this process's user by default.
    """

    def __init__(self, database: Database, tenant: str, hints: HintPublisher) -> None:
        self._database = database
        self._tenant = tenant
        self._hints = hints

    def list(
        self, *, status: str | None = None, kind: str | None = None, run_id: str | None = None, most: int = 50
    ) -> Sequence[Row]:
        """Return messages, the newest first.

        Each has message_id, run_id, step_index (-1 for a notice of the run), item, kind, payload, status, attempt,
        failures, error, response, next_attempt_at, created_at, sent_at.
        """
        of_run = None if run_id is None else _run_id(run_id)
        status, kind = label("status", status), label("kind", kind)
        return self._database.atomically(
            lambda tx: outbox.listing(tx, self._tenant, status=status, kind=kind, run_id=of_run, most=most)
        )

    def resolve(self, message_id: str, status: str, *, reason: str, by: str | None = None) -> Row:
        """Say of a message in doubt that it arrived (`sent`) or did not (`failed`); return it as it stood before.

        Raises InterventionRefused with the reason where it is not in doubt; then nothing was changed.
        """
        if status not in _RESOLVED:
            raise InterventionRefused(f"{status!r} is no answer to a doubt; say 'sent' or 'failed', or retry it")
        new = DeliveryStatus(status)
        return self._move(message_id, "outbox_resolve", new, (DeliveryStatus.IN_DOUBT,), reason=reason, by=by)

    def retry(self, message_id: str, *, reason: str, by: str | None = None) -> Row:
        """Have a message that failed, or is in doubt, sent again under its id; return it as it stood before.

        Raises InterventionRefused with the reason where it is neither; then nothing was changed.
        """
        row = self._move(message_id, "outbox_retry", DeliveryStatus.PENDING, _RETRIED, reason=reason, by=by)
        # Without a broker the sweeper gives the hint.
        self._hints.publish([relay_hint(row["kind"])])
        return row

    def _move(
        self,
        message_id: str,
        act: str,
        new: DeliveryStatus,
        allowed: Sequence[DeliveryStatus],
        *,
        reason: str,
        by: str | None,
    ) -> Row:
        who, why = checked_name(this_person() if by is None else by), checked_reason(reason)
        if why is None:
            raise InterventionRefused("there is no reason; say why, whoever looks at the message later sees it")
        order_id = str(uuid.uuid4())

        def body(tx: Transaction) -> Row:
            row = self._locked(tx, message_id)
            if operations.was_done(tx, str(row["run_id"]), order_id):
                return row
            _refuse_others(row, new, allowed)
            outbox.resolve(tx, str(row["message_id"]), DeliveryStatus(row["status"]), new)
            self._note(tx, row, act, new, who=who, why=why, order_id=order_id)
            return row

        return self._database.atomically(body)

    def _note(
        self, tx: Transaction, row: Row, act: str, new: DeliveryStatus, *, who: str, why: str, order_id: str
    ) -> None:
        details: dict[str, Any] = {"message_id": str(row["message_id"]), "was": row["status"], "is": str(new)}
        interventions.note(
            tx,
            tenant=self._tenant,
            run_id=str(row["run_id"]),
            step_index=row["step_index"],
            act=act,
            by=who,
            reason=why,
            details={**details, "error": row["error"], "order_id": order_id},
        )

    def _locked(self, tx: Transaction, text: str) -> Row:
        first, last = _range(text)
        found = outbox.lock_between(tx, self._tenant, first, last)
        if not found:
            raise InterventionRefused(f"there is no message {text!r}; `agentflow outbox list` shows those there are")
        if len(found) > 1:
            raise InterventionRefused(f"{text!r} begins the id of several messages; give more of its digits")
        return found[0]


def _refuse_others(row: Row, new: DeliveryStatus, allowed: Sequence[DeliveryStatus]) -> None:
    if row["status"] in allowed:
        return
    wanted = " or ".join(status.value.replace("_", " ") for status in allowed)
    asked = "tried again" if new is DeliveryStatus.PENDING else "resolved"
    raise InterventionRefused(
        f"message {str(row['message_id'])!r} is {row['status'].replace('_', ' ')}: only what is {wanted} can be {asked}"
    )


def _range(text: str) -> tuple[str, str]:
    digits = str(text).strip().lower().replace("-", "")
    if not _SHORTEST_PREFIX <= len(digits) <= _DIGITS or set(digits) - set("0123456789abcdef"):
        raise InterventionRefused(f"{text!r} is no message's id; `agentflow outbox list` shows them")
    first, last = (str(UUID(digits.ljust(_DIGITS, rest))) for rest in "0f")
    return first, last


def _run_id(text: str) -> str:
    try:
        return str(UUID(str(text)))
    except ValueError:
        raise RunNotFound(f"{text!r} is no run id") from None
