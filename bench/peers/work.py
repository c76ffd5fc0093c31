"""Owns the common work, for every peer the same: the steps of a run and what each returns."""

from __future__ import annotations

import os

STEPS = 5

_VALUE = "v" * 40


def do_step(number: int) -> dict[str, object]:
    """Do nothing, and return what has to be durable before the next step begins."""
    return {"step": number, "value": _VALUE}


def database_url() -> str:
    """Return where this peer's own database is."""
    return os.environ["BENCH_DATABASE_URL"]


def redis_url(number: int) -> str:
    """Return where one of Valkey's numbered databases is."""
    return f"{os.environ['BENCH_REDIS_URL']}/{number}"
