"""Owns the airline's tools that read: users, reservations, flights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date as Date  # noqa: N812 - the tools' argument is called date
from datetime import timedelta

from tests.acceptance.airline.dataset import Row
from tests.acceptance.airline.refusal import found
from tests.acceptance.airline.rows import Rows

TIME = slice(len("00:00:00"))
NEXT_DAY = "+1"


def get_user_details(rows: Rows, user_id: str) -> str:
    return json.dumps(found(rows, "users", user_id))


def get_reservation_details(rows: Rows, reservation_id: str) -> str:
    return json.dumps(found(rows, "reservations", reservation_id))


def search_direct_flight(rows: Rows, origin: str, destination: str, date: str) -> str:
    direct = (flight for flight in _departing(rows.flights(), origin) if flight["destination"] == destination)
    return json.dumps([offer for flight in direct if (offer := _offer(flight, date))])


def search_onestop_flight(rows: Rows, origin: str, destination: str, date: str) -> str:
    flights = rows.flights()
    pairs = (
        (first, second)
        for first in _departing(flights, origin)
        for second in _departing(flights, first["destination"])
        if second["destination"] == destination
    )
    return json.dumps([journey for pair in pairs if (journey := _journey(*pair, date))])


def _departing(flights: Mapping[str, Row], origin: str) -> Iterator[Row]:
    return (flight for flight in flights.values() if flight["origin"] == origin)


def _offer(flight: Row, date: str) -> Row | None:
    """Return what is for sale on that day, or None."""
    day = flight["dates"].get(date, {})
    if day.get("status") != "available":
        return None
    return {**{key: value for key, value in flight.items() if key != "dates"}, **day}


def _journey(first: Row, second: Row, date: str) -> list[Row] | None:
    """Return both offers where the second flight leaves after the first has arrived, or None."""
    arrival = first["scheduled_arrival_time_est"]
    if second["scheduled_departure_time_est"] < arrival[TIME]:
        return None
    change = _day_after(date) if arrival.endswith(NEXT_DAY) else date
    # The recorded airline offers the second flight at the first day's price and seats, whatever day it names.
    offers = _offer(first, date), _offer(second, date)
    if offers[0] is None or offers[1] is None:
        return None
    return [{**offers[0], "date": date}, {**offers[1], "date": change}]


def _day_after(date: str) -> str:
    return (Date.fromisoformat(date) + timedelta(days=1)).isoformat()
