"""Owns the airline's 14 tools as agentflow tools. Their answers go to the model word for word, refusals too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx2

from agentflow import Context, ToolError, resource, tool
from agentflow.declare.tool import Tool
from agentflow.settings import postgres_url
from tests.acceptance.airline import operations
from tests.acceptance.airline.dataset import HANDOFF
from tests.acceptance.airline.rows import PostgresRows
from tests.acceptance.airline.world import World

Items = list[dict[str, Any]]

SERVICE_TIMEOUT_S = 8.0


@resource
def world() -> Iterator[World]:
    # The airline's rows may be in a database of its own, beside the one that holds the runs.
    opened = World(postgres_url(os.environ.get("AIRLINE_DATABASE_URL") or os.environ["AGENTFLOW_DATABASE_URL"]))
    yield opened
    opened.close()


@resource
def service() -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=os.environ["AIRLINE_URL"], timeout=SERVICE_TIMEOUT_S) as client:
        yield client


def calculate(expression: str) -> str:
    """Calculate the result of a mathematical expression."""
    return operations.answer("calculate", {"expression": expression})


def list_all_airports() -> str:
    """List all airports and their cities."""
    return operations.answer("list_all_airports", {})


def think(thought: str) -> str:
    """Think about something. It will not obtain new information or change the database."""
    return operations.answer("think", {"thought": thought})


def transfer_to_human_agents(summary: str) -> str:
    """Transfer the user to a human agent, with a summary of the user's issue."""
    return operations.answer(HANDOFF, {"summary": summary})


def get_user_details(ctx: Context, user_id: str) -> str:
    """Get the details of a user, including their reservations."""
    return _read(ctx, "get_user_details", user_id=user_id)


def get_reservation_details(ctx: Context, reservation_id: str) -> str:
    """Get the details of a reservation."""
    return _read(ctx, "get_reservation_details", reservation_id=reservation_id)


def search_direct_flight(ctx: Context, origin: str, destination: str, date: str) -> str:
    """Search direct flights between two cities on a specific date."""
    return _read(ctx, "search_direct_flight", origin=origin, destination=destination, date=date)


def search_onestop_flight(ctx: Context, origin: str, destination: str, date: str) -> str:
    """Search flights with one stop between two cities on a specific date."""
    return _read(ctx, "search_onestop_flight", origin=origin, destination=destination, date=date)


def book_reservation(
    ctx: Context,
    user_id: str,
    origin: str,
    destination: str,
    flight_type: str,
    cabin: str,
    flights: Items,
    passengers: Items,
    payment_methods: Items,
    total_baggages: int,
    nonfree_baggages: int,
    insurance: str,
) -> str:
    """Book a reservation."""
    return _write(
        ctx,
        "book_reservation",
        user_id=user_id,
        origin=origin,
        destination=destination,
        flight_type=flight_type,
        cabin=cabin,
        flights=flights,
        passengers=passengers,
        payment_methods=payment_methods,
        total_baggages=total_baggages,
        nonfree_baggages=nonfree_baggages,
        insurance=insurance,
    )


def send_certificate(ctx: Context, user_id: str, amount: int | float) -> str:
    """Send a certificate to a user. Be careful!"""
    return _write(ctx, "send_certificate", user_id=user_id, amount=amount)


def cancel_reservation(ctx: Context, reservation_id: str) -> str:
    """Cancel the whole reservation."""
    return _write(ctx, "cancel_reservation", reservation_id=reservation_id)


def update_reservation_baggages(
    ctx: Context, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
) -> str:
    """Update the baggage information of a reservation."""
    return _write(
        ctx,
        "update_reservation_baggages",
        reservation_id=reservation_id,
        total_baggages=total_baggages,
        nonfree_baggages=nonfree_baggages,
        payment_id=payment_id,
    )


def update_reservation_flights(ctx: Context, reservation_id: str, cabin: str, flights: Items, payment_id: str) -> str:
    """Update the flight information of a reservation."""
    return _write(
        ctx,
        "update_reservation_flights",
        reservation_id=reservation_id,
        cabin=cabin,
        flights=flights,
        payment_id=payment_id,
    )


def update_reservation_passengers(ctx: Context, reservation_id: str, passengers: Items) -> str:
    """Update the passenger information of a reservation."""
    return _write(ctx, "update_reservation_passengers", reservation_id=reservation_id, passengers=passengers)


def declare_tools(writes: str) -> list[Tool[..., str]]:
    """Return the 14 tools; `writes` is the effect of those that change rows, `transactional` or `keyed`."""
    return [
        *(tool(effect="read")(read) for read in (calculate, list_all_airports, think)),
        *(tool(effect="read")(read) for read in (get_user_details, get_reservation_details)),
        *(tool(effect="read")(read) for read in (search_direct_flight, search_onestop_flight)),
        tool(effect="read", ends_run=True)(transfer_to_human_agents),
        *(tool(effect=writes)(write) for write in (book_reservation, send_certificate, cancel_reservation)),
        *(tool(effect=writes)(write) for write in (update_reservation_baggages, update_reservation_flights)),
        tool(effect=writes)(update_reservation_passengers),
    ]


def _read(ctx: Context, name: str, **arguments: Any) -> str:
    with ctx.use(world).rows(_conversation(ctx)) as rows:
        return operations.read(rows, name, arguments)


def _write(ctx: Context, name: str, **arguments: Any) -> str:
    """Write in the recording transaction where there is one, else ask the airline's service under the step's key."""
    conversation_id = _conversation(ctx)
    if ctx.recording_connection is not None:
        rows = PostgresRows(ctx.connection, conversation_id)
        return operations.write(rows, name, arguments, ctx.idempotency_key)
    reply = ctx.use(service).post(
        f"/{name}",
        headers={"Idempotency-Key": ctx.idempotency_key},
        json={"conversation_id": conversation_id, "arguments": arguments},
    )
    return reply.raise_for_status().text


def _conversation(ctx: Context) -> str:
    if ctx.run.conversation_id is None:
        raise ToolError("the airline keeps its rows by conversation: submit with conversation=...", happened=False)
    return ctx.run.conversation_id
