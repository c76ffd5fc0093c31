"""Owns how the tools reach the outside world: one connection a process, one token, and what an answer is worth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

import httpx2

from agentflow import Breaker, Context, Happened, Limits, NotHappened, credential, resource

URL, TOKEN = "CHAOS_WORLD_URL", "CHAOS_WORLD_TOKEN"
TIMEOUT_S = 4.0
SETTLE_S = 2.5
# Short, so that what a storm closed is open again soon after it.
LIMITS = Limits(slots=64, breaker=Breaker(failures=200, within_s=10, open_s=2), retry_share=1.0, retry_floor=1000)

# Room for a slow machine: only the world may be what takes too long.
CLIENT_TIMEOUT_S = 2.0


@resource
def world() -> Iterator[httpx2.Client]:
    """Keep a connection to the outside world open."""
    with httpx2.Client(base_url=os.environ[URL], timeout=CLIENT_TIMEOUT_S) as client:
        yield client


@credential
def token() -> str:
    """Read what tools show the outside world."""
    return os.environ[TOKEN]


def call(ctx: Context, door: str, place: str, body: Mapping[str, Any]) -> str:
    """Knock at a door under this call's key, and return the id of what happened there."""
    headers = {"Idempotency-Key": ctx.idempotency_key, "Authorization": f"Bearer {ctx.secret(token)}"}
    reply = ctx.use(world).post(f"/{door}/{place}", json=body, headers=headers)
    return str(reply.raise_for_status().json()["id"])


def undo(ctx: Context, name: str) -> None:
    """Have the call undone that this compensation is about."""
    call(ctx, "undo", name, {"subject": ctx.subject_key})


def ask(ctx: Context, name: str) -> Happened[str] | NotHappened:
    """Ask whether a call happened, by the key that it was sent with."""
    headers = {"Authorization": f"Bearer {ctx.secret(token)}"}
    reply = ctx.use(world).get(f"/verified/{name}/{quote(ctx.idempotency_key, safe='')}", headers=headers)
    if reply.status_code == 404:
        return NotHappened()
    return Happened(cast("str", reply.raise_for_status().json()["id"]))


def hooks_url() -> str:
    """Where webhooks go."""
    return f"{os.environ[URL]}/hooks"
