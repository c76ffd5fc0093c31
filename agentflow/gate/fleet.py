"""Owns where a fleet's gate stands: all processes that work on one schema share one."""

from __future__ import annotations

from agentflow.gate.redis_gate import RedisGate


def fleet_gate(redis_url: str, db_schema: str, *, timeout_s: float = 0.25) -> RedisGate:
    """Return a way to the gate of the workers whose tables are in this schema."""
    return RedisGate(redis_url, prefix=f"agentflow:gate:{db_schema}", timeout_s=timeout_s)
