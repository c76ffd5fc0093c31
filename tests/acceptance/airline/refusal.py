"""Owns how the airline says no, and the checks that several tools share."""

from __future__ import annotations

from typing import Any

from tests.acceptance.airline.dataset import Row
from tests.acceptance.airline.rows import Rows


class Refused(Exception):
    """The airline does not do what was asked; nothing has been changed."""


def found(rows: Rows, table: str, row_id: str) -> Row:
    """Return a row; refuse where there is none."""
    row = rows.find(table, row_id)
    if row is None:
        raise Refused(f"{table.removesuffix('s')} not found")
    return row


def priced_segment(rows: Rows, flight: Row, cabin: str, seats: int) -> Row:
    """Return the wanted flight with today's price and its route; refuse one that cannot be booked."""
    number, date = flight["flight_number"], flight["date"]
    known = rows.find("flights", number)
    if known is None:
        raise Refused(f"flight {number} not found")
    day = known["dates"].get(date, {})
    if day.get("status") != "available":
        raise Refused(f"flight {number} not available on date {date}")
    if day["available_seats"][cabin] < seats:
        raise Refused(f"not enough seats on flight {number}")
    return routed(flight, day["prices"][cabin], known)


def routed(flight: Row, price: Any, known: Row) -> Row:
    """Return the wanted flight with a price, and with the route of a flight that is known."""
    return {**flight, "price": price, "origin": known["origin"], "destination": known["destination"]}
