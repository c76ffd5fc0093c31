"""One tool that works, and others beside it that hang, fail, lose connections or spend their retries: in one pool."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator

import httpx2

from agentflow import Breaker, Budget, Context, Limits, Pipeline, resource, tool
from tests.integration.workers.agents.outside import arrive

HUNG_S = 2.0
STUCK_S = 1.0

# What fails goes on failing here: a breaker would take the load off the pool.
_NEVER = Breaker(failures=100_000)
_MUTEX_BYTES = 256

_lost: list[httpx2.Response] = []


@resource
def connection() -> Iterator[httpx2.Client]:
    """Open a client with one connection, which is soon waited for in vain."""
    limits, timeout = httpx2.Limits(max_connections=1), httpx2.Timeout(None, pool=0.2)
    with httpx2.Client(
        base_url=os.environ["OUTSIDE_SERVER"], limits=limits, timeout=timeout, trust_env=False
    ) as opened:
        yield opened


def _ask(ctx: Context, path: str) -> str:
    reply = ctx.use(connection).post(path, json={"run": ctx.run.run_id})
    return reply.raise_for_status().text


@tool(effect="read")
def serve(ctx: Context) -> str:
    """Work, whatever the others do."""
    arrive(ctx, "serve")
    return _ask(ctx, "/serve")


@tool(effect="read", timeout_s=HUNG_S, limits=Limits(breaker=_NEVER))
def hang(ctx: Context) -> str:
    """Wait for an answer that doesn't come."""
    arrive(ctx, "hang")
    return _ask(ctx, "/hang")


@tool(effect="read", limits=Limits(breaker=_NEVER, retry_share=1.0))
def fail(ctx: Context) -> str:
    """Be answered by an error."""
    return _ask(ctx, "/fail")


@tool(effect="read", limits=Limits(breaker=_NEVER, retry_share=1.0))
def leak(ctx: Context) -> str:
    """Take the one connection that there is, and never give it back."""
    client = ctx.use(connection)
    _lost.append(client.send(client.build_request("POST", "/leak"), stream=True))
    return "lost"


@tool(effect="read", limits=Limits(breaker=_NEVER, retry_share=0.0, retry_floor=2))
def spend(ctx: Context) -> str:
    """Be answered by an error, and have no retry left."""
    return _ask(ctx, "/spend")


@tool(effect="read", timeout_s=STUCK_S)
def defy(ctx: Context) -> str:
    """Hang in the first attempt, deaf to the signal that would end it."""
    arrive(ctx, "defy")
    if ctx.attempt == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        return _ask(ctx, "/hang")
    return "heard"


@tool(effect="read", timeout_s=STUCK_S)
def sink(ctx: Context) -> str:
    """Hang in the first attempt, in C: a mutex that is locked twice comes back for no signal."""
    arrive(ctx, "sink")
    if ctx.attempt == 1:
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(_MUTEX_BYTES)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    return "afloat"


serving = Pipeline("serving", [serve])
hanging = Pipeline("hanging", [hang], budget=Budget(attempts=1))
failing = Pipeline("failing", [fail])
leaking = Pipeline("leaking", [leak])
spending = Pipeline("spending", [spend])
defying = Pipeline("defy", [defy])
sinking = Pipeline("sink", [sink])
