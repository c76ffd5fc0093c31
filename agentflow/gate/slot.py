"""Owns the names by which steps stand in the gate: as members that hold slots, and as waiters."""

from __future__ import annotations

import os

from agentflow.gate.protocol import Held, Visitor, Waiter

_NONCE_BYTES = 6


def member_of(visitor: Visitor) -> str:
    """Return a new member for a visitor: one step may come twice, on two messages."""
    return f"{visitor.holder}{attempts_of(visitor.run_id, visitor.step_index)}{os.urandom(_NONCE_BYTES).hex()}"


def attempts_of(run_id: str, step_index: int) -> str:
    """Return what all members of a step contain, and no others."""
    return f":{run_id}:{step_index}:"


def held_of(bulkhead: str, member: str) -> Held:
    """Return what a member stands for."""
    _, run_id, step_index, _ = member.rsplit(":", 3)
    return Held(bulkhead, run_id, int(step_index))


def waiter_name(visitor: Visitor) -> str:
    """Return a visitor's name among the waiters."""
    return f"{visitor.run_id}:{visitor.step_index}"


def parse_waiter(name: str) -> Waiter:
    """Return the waiter of a name."""
    run_id, _, step_index = name.rpartition(":")
    return Waiter(run_id, int(step_index))
