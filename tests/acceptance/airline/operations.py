"""Owns the list of the airline's tools by name, and how one of them is carried out on a conversation's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.acceptance.airline import bookings, changes, lookups, static
from tests.acceptance.airline.refusal import Refused
from tests.acceptance.airline.rows import PostgresRows, Rows

Operation = Callable[..., str]


def _by_name(*operations: Operation) -> Mapping[str, Operation]:
    return {operation.__name__: operation for operation in operations}


STATIC = _by_name(
    static.calculate,
    static.list_all_airports,
    static.think,
    static.transfer_to_human_agents,
)
READS = _by_name(
    lookups.get_reservation_details,
    lookups.get_user_details,
    lookups.search_direct_flight,
    lookups.search_onestop_flight,
)
WRITES = _by_name(
    bookings.book_reservation,
    bookings.send_certificate,
    changes.cancel_reservation,
    changes.update_reservation_baggages,
    changes.update_reservation_flights,
    changes.update_reservation_passengers,
)


def answer(tool: str, arguments: Mapping[str, Any]) -> str:
    """Answer a tool that looks at no row, a refusal included."""
    return _answer(STATIC[tool], arguments)


def read(rows: Rows, tool: str, arguments: Mapping[str, Any]) -> str:
    """Answer a tool that changes no row, a refusal included."""
    return _answer(READS[tool], arguments, rows)


def write(rows: PostgresRows, tool: str, arguments: Mapping[str, Any], key: str) -> str:
    """Carry out a tool that may change rows, note it where it did, and answer, a refusal included."""
    given = _answer(WRITES[tool], arguments, rows)
    if rows.has_changed:
        rows.record_write(tool, arguments, key)
    return given


def _answer(operation: Operation, arguments: Mapping[str, Any], *rows: Rows) -> str:
    try:
        return operation(*rows, **arguments)
    except Refused as refusal:
        return f"Error: {refusal}"
