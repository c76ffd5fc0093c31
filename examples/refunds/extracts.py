"""Owns how the logs of the outside world are shown, beside what people said: word for word, with the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich import box
from rich.table import Table

from examples.refunds.consequences import Approved
from examples.refunds.post import PUT_OFF, Letter
from examples.refunds.shop.ledger import Entry
from examples.refunds.story import dollars

# Ids begin with the time: their ends tell them apart.
_ID_END = 12


def shop_log_table(log: Sequence[Entry]) -> Table:
    """Return the shop's log of one order."""
    table = Table.grid(padding=(0, 2))
    for entry in log:
        key = entry.key if len(entry.key) <= 2 * _ID_END else f"…{entry.key[-_ID_END:]}"
        table.add_row(_moment(entry.at), _event(entry), f"key {key}", dollars(entry.amount_cents))
    return table


def mail_log_table(letters: Sequence[Letter]) -> Table:
    """Return the mail server's log."""
    table = Table.grid(padding=(0, 2))
    for each in letters:
        event = "taken" if each.event == "taken" else f"put off: {PUT_OFF}"
        message_id, _, _ = each.message_id.strip("<>").partition("@")
        table.add_row(_moment(each.at), event, each.recipient, f"Message-ID …{message_id[-_ID_END:]}")
    return table


def approval_table(approved: Sequence[Approved]) -> Table:
    """Return what a person was asked, what they said, and when the shop was asked then."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("ticket", "step", "amount", "asked", "answered", "by", "shop asked"):
        table.add_column(name, no_wrap=True)
    for each in approved:
        asked, decided_at = each.asked, each.asked["decided_at"]
        table.add_row(
            each.case.customer.name,
            each.step.tool_name,
            dollars(each.step.input["amount_cents"]),
            _clock(asked["asked_at"]),
            f"{asked['status']} {_clock(decided_at)}" if decided_at else asked["status"],
            asked["decided_by"] or "nobody",
            _clock(each.called_at) if each.called_at else "never",
        )
    return table


def _event(entry: Entry) -> str:
    match entry.event:
        case "asked":
            return "refund asked for"
        case "paid":
            return f"refund {entry.receipt} paid"
        case "refused":
            wish = "" if entry.retry_after_s is None else f", Retry-After: {entry.retry_after_s}"
            return f"turned away: {entry.status}{wish}"
        case "sought":
            return "asked whether it was paid: yes" if entry.order_id else "asked whether it was paid: no"
        case "declined":
            return f"card declined: {entry.status}"
        case "ordered" | "charged" | "cancelled":
            return f"order {entry.order_id} {'placed' if entry.event == 'ordered' else entry.event}"


def _moment(text: str) -> str:
    return _clock(datetime.fromisoformat(text))


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S.%f")[:-3]
