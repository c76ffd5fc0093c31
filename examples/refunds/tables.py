"""Owns how the proof is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from rich import box
from rich.table import Table

from examples.refunds.failures import Failure
from examples.refunds.proof import Line
from examples.refunds.shop.ledger import Entry

_COLUMNS = ("tickets", "runs", "refund\nasked", "calls\nto shop", "refund\nmade", "paid", "e-mails\nqueued")


def proof_table(lines: Sequence[Line], struck: Collection[str | None]) -> Table:
    """Return one row per order, and the sums. `struck` are the orders whose refund lost its worker."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("order", footer="all", vertical="bottom")
    table.add_column("customer", vertical="bottom")
    for name, total in zip(_COLUMNS, _totals(lines), strict=True):
        table.add_column(name, footer=total, justify="right", vertical="bottom")
    for line in lines:
        cells = _cells(line)
        if line.order_id in struck:
            cells[3] = f"[bold yellow]{cells[3]}[/]"
        table.add_row(line.order_id or "-", ", ".join(line.customers), *cells)
    return table


def notes(lines: Sequence[Line]) -> Iterator[str]:
    """Say what is to be seen in the table."""
    for line in lines:
        label = line.order_id or line.customers[0]
        if line.tickets > line.runs:
            yield f"{label}: submitted {line.tickets} times under one key, and one run it is."
        if line.asked > line.paid == 1:
            yield f"{label}: asked for by {line.asked} runs under one key, and paid once."
        if line.refused and line.paid == 1:
            yield f"{label}: turned away with 429. Asked again in its time, under the same key, and paid once."
        if line.calls - line.refused > line.paid == 1:
            yield f"{label}: the worker died after the payment. Asked again, under the same key, and paid once."


def shop_log_table(log: Sequence[Entry]) -> Table:
    """Return the shop's log of one order, word for word."""
    table = Table.grid(padding=(0, 2))
    for entry in log:
        moment = datetime.fromisoformat(entry.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
        table.add_row(moment, _event(entry), f"key {entry.key}", dollars(entry.amount_cents))
    return table


def failure_table(failures: Sequence[Failure]) -> Table:
    """Return one row per attempt that failed: what it met, what was done about it, and how its step ended."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("ticket", "step", "failed with", "answered", "came\nafter", "ended"):
        table.add_column(name, vertical="bottom", no_wrap=name != "step")
    for each in failures:
        came = "" if each.came_s is None else f"{each.came_s:.1f} s"
        table.add_row(each.case.customer.name, each.step.tool_name, each.what, each.answer, came, each.ending)
    return table


def _event(entry: Entry) -> str:
    match entry.event:
        case "paid":
            return f"refund {entry.refund_id} paid"
        case "refused":
            wish = "" if entry.retry_after_s is None else f", Retry-After: {entry.retry_after_s}"
            return f"turned away: {entry.status}{wish}"
        case "asked":
            return "refund asked for"


def dollars(cents: int) -> str:
    """Return an amount of money as people write it."""
    return f"${cents / 100:.2f}"


def _cells(line: Line) -> list[str]:
    return [*map(str, _counts(line)), dollars(line.paid_cents) if line.paid else "-", str(line.emails)]


def _totals(lines: Sequence[Line]) -> list[str]:
    counts = [sum(column) for column in zip(*map(_counts, lines), strict=True)]
    return [*map(str, counts), dollars(sum(line.paid_cents for line in lines)), str(sum(line.emails for line in lines))]


def _counts(line: Line) -> tuple[int, ...]:
    return line.tickets, line.runs, line.asked, line.calls, line.paid
