"""Owns how the logs of the outside world are shown, and what a person said between: line by line, with the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

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


def approval_table(approved: Approved, log: Sequence[Entry]) -> Table:
    """Return the way of a call that a person was asked about, in the database and then in the shop's log."""
    table, asked = Table.grid(padding=(0, 2)), approved.asked
    table.add_row(_clock(asked["asked_at"]), "database", f"{asked['tool']} waits for approval")
    if asked["decided_at"]:
        table.add_row(_clock(asked["decided_at"]), "database", f"{asked['status']} by {asked['decided_by']}")
    for entry in log:
        table.add_row(_moment(entry.at), "shop", f"{_event(entry)}  {dollars(entry.amount_cents)}")
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
