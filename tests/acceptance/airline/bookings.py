"""Owns the airline's tools that make something new: a reservation, a certificate."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.airline.dataset import Row
from tests.acceptance.airline.refusal import Refused, found, priced_segment
from tests.acceptance.airline.rows import Rows

NOW = "2024-05-15T15:00:00"
RESERVATION_IDS = ("HATHAT", "HATHAU", "HATHAV")
CERTIFICATE_IDS = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
INSURANCE_USD = 30
BAGGAGE_USD = 50


def book_reservation(
    rows: Rows,
    user_id: str,
    origin: str,
    destination: str,
    flight_type: str,
    cabin: str,
    flights: list[Row],
    passengers: list[Row],
    payment_methods: list[Row],
    total_baggages: int,
    nonfree_baggages: int,
    insurance: str,
) -> str:
    user = found(rows, "users", user_id)
    segments = [priced_segment(rows, flight, cabin, len(passengers)) for flight in flights]
    price_each = sum(segment["price"] for segment in segments) + (INSURANCE_USD if insurance == "yes" else 0)
    wallet = _pay(user, payment_methods, price_each * len(passengers) + BAGGAGE_USD * nonfree_baggages)
    reservation_id = _free_reservation_id(rows)
    reservation = {
        "reservation_id": reservation_id,
        "user_id": user_id,
        "origin": origin,
        "destination": destination,
        "flight_type": flight_type,
        "cabin": cabin,
        "flights": segments,
        "passengers": passengers,
        "payment_history": payment_methods,
        "created_at": NOW,
        "total_baggages": total_baggages,
        "nonfree_baggages": nonfree_baggages,
        "insurance": insurance,
    }
    rows.save("reservations", reservation_id, reservation)
    reservations = [*user["reservations"], reservation_id]
    rows.save("users", user_id, {**user, "payment_methods": wallet, "reservations": reservations})
    return json.dumps(reservation)


def send_certificate(rows: Rows, user_id: str, amount: float) -> str:
    user = found(rows, "users", user_id)
    wallet = user["payment_methods"]
    certificate_id = next((each for each in CERTIFICATE_IDS if each not in wallet), None)
    if certificate_id is None:
        raise Refused("no certificate left")
    certificate = {"source": "certificate", "amount": amount, "id": certificate_id}
    rows.save("users", user_id, {**user, "payment_methods": {**wallet, certificate_id: certificate}})
    return f"Certificate {certificate_id} added to user {user_id} with amount {amount}."


def _pay(user: Row, payments: list[Row], price: Any) -> Row:
    """Return the user's payment methods after the payments; refuse what does not exist, suffice or add up."""
    wallet = dict(user["payment_methods"])
    for payment in payments:
        _check(wallet, payment)
    paid = sum(payment["amount"] for payment in payments)
    if paid != price:
        raise Refused(f"payment amount does not add up, total price is {price}, but paid {paid}")
    for payment in payments:
        _charge(wallet, payment)
    return wallet


def _check(wallet: Row, payment: Row) -> None:
    payment_id = payment["payment_id"]
    if payment_id not in wallet:
        raise Refused(f"payment method {payment_id} not found")
    if wallet[payment_id].get("amount", payment["amount"]) < payment["amount"]:
        raise Refused(f"not enough balance in payment method {payment_id}")


def _charge(wallet: Row, payment: Row) -> None:
    method = wallet[payment["payment_id"]]
    if method["source"] == "gift_card":
        wallet[method["id"]] = {**method, "amount": method["amount"] - payment["amount"]}
    elif method["source"] == "certificate":
        # A certificate is used up whole: what is left of it is not paid back.
        del wallet[method["id"]]


def _free_reservation_id(rows: Rows) -> str:
    for reservation_id in RESERVATION_IDS:
        if rows.find("reservations", reservation_id) is None:
            return reservation_id
    raise Refused("no reservation id left")
