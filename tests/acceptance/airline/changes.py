"""Owns the airline's tools that change a reservation: its flights, baggage and passengers, and its cancellation."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.airline.bookings import BAGGAGE_USD
from tests.acceptance.airline.dataset import Row
from tests.acceptance.airline.refusal import Refused, found, priced_segment, routed
from tests.acceptance.airline.rows import Rows


def update_reservation_flights(rows: Rows, reservation_id: str, cabin: str, flights: list[Row], payment_id: str) -> str:
    reservation = found(rows, "reservations", reservation_id)
    segments = [_segment(rows, reservation, flight, cabin) for flight in flights]
    difference = (_fare(segments) - _fare(reservation["flights"])) * len(reservation["passengers"])
    # The recorded airline prices the new cabin and leaves the reservation's own as it was.
    return _settle(rows, {**reservation, "flights": segments}, payment_id, difference)


def update_reservation_baggages(
    rows: Rows, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
) -> str:
    reservation = found(rows, "reservations", reservation_id)
    price = BAGGAGE_USD * max(0, nonfree_baggages - reservation["nonfree_baggages"])
    changed = {**reservation, "total_baggages": total_baggages, "nonfree_baggages": nonfree_baggages}
    return _settle(rows, changed, payment_id, price)


def update_reservation_passengers(rows: Rows, reservation_id: str, passengers: list[Row]) -> str:
    reservation = found(rows, "reservations", reservation_id)
    if len(passengers) != len(reservation["passengers"]):
        raise Refused("number of passengers does not match")
    return _keep(rows, {**reservation, "passengers": passengers})


def cancel_reservation(rows: Rows, reservation_id: str) -> str:
    reservation = found(rows, "reservations", reservation_id)
    paid = reservation["payment_history"]
    refunds = [{"payment_id": payment["payment_id"], "amount": -payment["amount"]} for payment in paid]
    return _keep(rows, {**reservation, "payment_history": [*paid, *refunds], "status": "cancelled"})


def _segment(rows: Rows, reservation: Row, flight: Row, cabin: str) -> Row:
    """Return the wanted flight; one that is kept keeps its price."""
    wanted = flight["flight_number"], flight["date"]
    for kept in reservation["flights"]:
        if cabin == reservation["cabin"] and wanted == (kept["flight_number"], kept["date"]):
            return routed(flight, kept["price"], kept)
    return priced_segment(rows, flight, cabin, len(reservation["passengers"]))


def _fare(segments: list[Row]) -> Any:
    return sum(segment["price"] for segment in segments)


def _settle(rows: Rows, reservation: Row, payment_id: str, price: Any) -> str:
    """Keep the reservation and charge the price, or pay it back where it is below zero; refuse what cannot pay."""
    user = found(rows, "users", reservation["user_id"])
    wallet = user["payment_methods"]
    if payment_id not in wallet:
        raise Refused("payment method not found")
    method = wallet[payment_id]
    if method["source"] == "certificate":
        raise Refused("certificate cannot be used to update reservation")
    if method["source"] == "gift_card":
        if method["amount"] < price:
            raise Refused("gift card balance is not enough")
        charged = {**method, "amount": method["amount"] - price}
        rows.save("users", reservation["user_id"], {**user, "payment_methods": {**wallet, payment_id: charged}})
    if price != 0:
        payment = {"payment_id": payment_id, "amount": price}
        reservation = {**reservation, "payment_history": [*reservation["payment_history"], payment]}
    return _keep(rows, reservation)


def _keep(rows: Rows, reservation: Row) -> str:
    rows.save("reservations", reservation["reservation_id"], reservation)
    return json.dumps(reservation)
