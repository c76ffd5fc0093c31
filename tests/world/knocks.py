"""Owns how the tests knock at the outside world's doors, and what they find in its files."""

from __future__ import annotations

import smtplib
import ssl
from typing import Any

import httpx2

from tests.world.arrival import Arrival
from tests.world.process import World

PASSWORD = "s3cret"


def post(world: World, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    """Send a request to a door; it is given up soon."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{world.url}{path}", json=body or {}, headers=given, timeout=0.5)


def pay(world: World, key: str, cents: int = 100) -> httpx2.Response:
    """Send a request under a key."""
    return post(world, "/keyed/pay", {"cents": cents}, idempotency_key=key)


def lines(world: World, **facts: Any) -> list[Arrival]:
    """Return the arrivals of which all these facts hold."""
    return [each for each in world.arrivals() if all(getattr(each, name) == fact for name, fact in facts.items())]


def effects(world: World, **facts: Any) -> int:
    """Count how often the world was changed so."""
    return len(lines(world, effect=True, **facts))


def send(world: World, number: str, timeout_s: float = 5.0) -> None:
    """Send a letter with this id."""
    with smtplib.SMTP("127.0.0.1", world.smtp_port, timeout=timeout_s) as connection:
        connection.starttls(context=ssl.create_default_context(cafile=world.authority))
        connection.login("agent", PASSWORD)
        connection.sendmail("a@shop.example", "b@x.example", f"Message-ID: <{number}>\r\n\r\nhello".encode())
