"""The database's partitions and their pruning, as a person reads them and names their limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agentflow.cli.complaints import WrongUse
from agentflow.cli.output import console

if TYPE_CHECKING:
    from agentflow.store.partitions import Partition
    from agentflow.store.pruning import Held, Kept, Pruned

_AGE = re.compile(r"\d{1,5}d")
_KILO = 1024
_BECAUSE: Mapping[str, str] = {
    "open": "is not over",
    "undelivered": "has a message that is not delivered",
    "conversation": "is of a conversation that has an open run",
}


def limit_of(before: str | None, older_than: str | None, now: datetime) -> datetime:
    """Return the time before which months are past, of the two options that may name it; raise WrongUse."""
    if (before is None) == (older_than is None):
        raise WrongUse("name what is past: either --before 2026-12-01 or --older-than 90d")
    limit = now - timedelta(days=_days_of(older_than)) if older_than is not None else _date_of(before or "")
    if limit > now:
        raise WrongUse(f"--before={before!r} is yet to come: only what is past is deleted")
    return limit


def print_partitions(found: Sequence[Partition]) -> None:
    """Print a line for each partition."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("partition", "from", "until"):
        table.add_column(name, no_wrap=True)
    for name in ("runs, about", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found:
        table.add_row(each.suffix, _day(each.first), _day(each.until), f"{each.runs:,}", size(each.bytes))
    console().print(table)


def print_pruned(pruned: Pruned, *, is_dry: bool) -> None:
    """Print what was dropped, or would be, what stays and why, and what was deleted elsewhere."""
    would = "would drop" if is_dry else "dropped"
    for each in pruned.dropped:
        console().print(f"{would} {each.suffix}: about {each.runs:,} runs, {size(each.bytes)}")
    for kept in pruned.kept:
        console().print(f"{'would keep' if is_dry else 'kept'} {kept.partition.suffix}: {_why(kept)}")
    for table, rows in pruned.left_over.items():
        if rows:
            console().print(f"deleted {rows:,} rows of {table}")
    if not (pruned.dropped or pruned.kept or any(pruned.left_over.values())):
        console(errors=True).print("nothing is past", style="dim")


def size(count: int) -> str:
    """Return bytes with a unit that keeps the number short."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < _KILO:
            return f"{amount:.0f} {unit}"
        amount /= _KILO
    return f"{amount:,.1f} TB"


def _why(kept: Kept) -> str:
    return "; ".join(_held(each) for each in kept.held)


def _held(held: Held) -> str:
    if held.run_id is None:
        return "others had locks on its tables all the while; prune again when long transactions are over"
    return f"run {held.run_id} {_BECAUSE[held.because]}"


def _days_of(older_than: str) -> int:
    if not _AGE.fullmatch(older_than):
        raise WrongUse(f"--older-than={older_than!r} is no age in days: give 90d")
    return int(older_than[:-1])


def _date_of(before: str) -> datetime:
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        raise WrongUse(f"--before={before!r} is no date: give 2026-12-01") from None
    # Months begin and end in UTC; a machine's own zone would make of their first day the last of another.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
