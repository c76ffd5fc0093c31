"""Owns the times of the statements that each sweep runs, on empty tables and on full ones after the same load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from agentflow.engine import relay_recovery
from agentflow.engine.sweeper import DEAD_S, GAP_S, GRACE_S
from agentflow.store import sweeps
from agentflow.store.database import Transaction
from agentflow.store.workers import Judge
from bench.figures import Figure
from bench.loads.queries import querying
from bench.stack import Stack

_MOST, _LOOKS = 500, 20
_TURN_S = 5.0
_HOLDER = "select holder from turns where name = 'sweep'"
# Every second; what it takes more than on empty tables is to be lost in what a second has.
_MORE_MS = 1.0

Statement = Callable[[Transaction], Any]


def compare(empty: Stack, full: Stack) -> Iterator[Figure]:
    """Yield each statement's median time on full tables; its goal is hardly more than that on empty ones."""
    of_empty, of_full = _statements(empty), _statements(full)
    for name, statement in of_full.items():
        on_empty, on_full = _median_ms(empty, of_empty[name]), _median_ms(full, statement)
        yield Figure(f"sweeper: {name} (on empty tables {on_empty:.2f})", on_full, "ms", on_empty + _MORE_MS)


def _statements(stack: Stack) -> dict[str, Statement]:
    """Return what every sweep asks, and what it may lead to, as the worker that has the turn asks it."""
    with querying(stack.database_url) as queries:
        judge = Judge(str(queries.value(_HOLDER)), DEAD_S, GAP_S)
    grace = {"grace_s": GRACE_S, "outbox_grace_s": relay_recovery.GRACE_S}
    return {
        "look": lambda tx: sweeps.look_around(tx, judge, turn_s=_TURN_S, within_s=sweeps.EVER_S, **grace),
        "lost steps": lambda tx: sweeps.lost_steps(tx, judge, most=_MOST),
        "overdue runs": lambda tx: sweeps.stop_overdue(tx, most=_MOST),
        "forgotten runs": lambda tx: sweeps.revive_forgotten(tx, most=_MOST),
        "lost hints": lambda tx: sweeps.hintable(tx, grace_s=GRACE_S, most=_MOST),
    }


def _median_ms(stack: Stack, statement: Statement) -> float:
    took = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        stack.client.database.atomically(statement)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
