"""Owns how failures and the proof are shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.table import Table

from examples.refunds.failures import Failure
from examples.refunds.story import dollars
from examples.refunds.tally import Line

_COLUMNS = ("tickets", "runs", "refund\nasked", "calls\nto shop", "refund\nmade", "paid", "e-mails\nout/in")


def proof_table(lines: Sequence[Line], struck: Collection[str | None]) -> Table:
    """Return one row per order, and the sums. `struck` are the orders whose refund lost its worker."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_footer=True,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
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


def failure_table(failures: Sequence[Failure]) -> Table:
    """Return one row per attempt that failed: what it met, what was done about it, and how its step ended."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("ticket", "step", "failed with", "answered", "came\nafter", "ended"):
        table.add_column(name, vertical="bottom", no_wrap=name != "step")
    for each in failures:
        came = "" if each.came_s is None else f"{each.came_s:.1f} s"
        table.add_row(each.case.customer.name, each.step.tool_name, each.what, each.answer, came, each.ending)
    return table


def _cells(line: Line) -> list[str]:
    paid = dollars(line.paid_cents) if line.paid else "-"
    return [*map(str, _counts(line)), paid, f"{line.emails}/{line.arrived}"]


def _totals(lines: Sequence[Line]) -> list[str]:
    counts = [sum(column) for column in zip(*map(_counts, lines), strict=True)]
    emails, arrived = sum(line.emails for line in lines), sum(line.arrived for line in lines)
    return [*map(str, counts), dollars(sum(line.paid_cents for line in lines)), f"{emails}/{arrived}"]


def _counts(line: Line) -> tuple[int, ...]:
    return line.tickets, line.runs, line.asked, line.calls, line.paid
