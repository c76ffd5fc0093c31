"""Alerts in Postgres, and the pages that tell a person of them: one per topic and period."""

from __future__ import annotations

from collections.abc import Iterable

from agentflow.domain import payload
from agentflow.domain.page import LeasedPage, Page
from agentflow.store.database import Transaction

# What nobody was paged of within a day is history: who sets up paging later is not told of last year.
_HISTORY_S = 86_400.0


def raise_alert(
    tx: Transaction,
    tenant: str,
    cause: str,
    message: str,
    *,
    topic: str | None = None,
    run_id: str | None = None,
    step_index: int | None = None,
) -> None:
    """Note something that a person has to see; the same cause again is counted.

    A person is paged once per topic and period; without one the cause is the topic.
    """
    told = payload.sanitise(message).value.replace("\x00", "\ufffd")
    tx.write(
        "raise_alert",
        tenant=tenant,
        cause=cause,
        topic=topic or cause,
        message=told,
        run_id=run_id,
        step_index=step_index,
    )


def lease_page(tx: Transaction, *, period_s: float, lease_s: float) -> LeasedPage | None:
    """Take the next page that is due; None where none is, or where another worker was quicker."""
    row = tx.row("lease_page", period_s=period_s, lease_s=lease_s, history_s=_HISTORY_S)
    if row is None:
        return None
    told = ("tenant", "topic", "cause", "message", "run_id", "step_index", "others")
    lease = ("leased_until", "looked_at", "tries", "taken_by")
    return LeasedPage(Page(**{name: row[name] for name in told}), **{name: row[name] for name in lease})


def mark_paged(tx: Transaction, leased: LeasedPage) -> bool:
    """Say that a page went out; False where the lease was lost.

    Alerts that came while it was sent count as new: the period starts when its alerts were counted.
    """
    page = leased.page
    return bool(
        tx.run(
            "mark_paged",
            tenant=page.tenant,
            topic=page.topic,
            leased_until=leased.leased_until,
            looked_at=leased.looked_at,
        )
    )


def put_off_page(tx: Transaction, leased: LeasedPage, *, pause_s: float, taken_by: Iterable[str]) -> bool:
    """Let a page be tried again after a pause; False where the lease was lost."""
    page = leased.page
    return bool(
        tx.run(
            "put_off_page",
            tenant=page.tenant,
            topic=page.topic,
            leased_until=leased.leased_until,
            pause_s=pause_s,
            taken_by=sorted(taken_by),
        )
    )
