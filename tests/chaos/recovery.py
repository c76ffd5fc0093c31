"""Owns the time that steps waited after their worker was killed, from the kill until they ran again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.checker.evidence import Fault

KILLS = frozenset({"kill_worker", "kill_busy_worker", "kill_relay"})
CLASSES = ("read", "transactional", "keyed")
GOAL_S = 15.0
# A judge counts nobody dead before its own heartbeat has been unbroken for seven seconds: what was wrong shortly
# before the kill holds recovery up like what is wrong after it.
_BEFORE_S = 8.0

_HELD = """
    select w.pid, s.effect, extract(epoch from a.started_at)::float8 as began_at,
        extract(epoch from a.ended_at)::float8 as ended_at, extract(epoch from next.started_at)::float8 as again_at
    from agentflow.attempts a
    join agentflow.workers w using (worker_id)
    join agentflow.agent_steps s using (run_id, step_index)
    left join agentflow.attempts next
        on next.run_id = a.run_id and next.step_index = a.step_index and next.attempt = a.attempt + 1
    where s.effect = any(:classes) and a.status <> 'ok'
"""

Rows = Callable[..., Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Wait:
    """A step's wait. `alone` says that nothing else was wrong between the kill and its next attempt."""

    effect: str
    seconds: float
    alone: bool


def recoveries(rows: Rows, faults: Sequence[Fault]) -> Sequence[Wait]:
    """Return how long each step waited that a killed worker was in the middle of, and that was tried again."""
    held = rows(_HELD, classes=list(CLASSES))
    return [wait for kill in faults if kill.kind in KILLS for wait in _waits(kill, held, faults)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so much of them is at most."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _waits(kill: Fault, held: Sequence[Mapping[str, Any]], faults: Sequence[Fault]) -> list[Wait]:
    pid = int(kill.target.rpartition("/")[2])
    lost = [row for row in held if row["pid"] == pid and _was_open(row, kill.began_at) and row["again_at"] is not None]
    return [
        Wait(row["effect"], row["again_at"] - kill.began_at, _is_alone(kill, row["again_at"], faults)) for row in lost
    ]


def _was_open(row: Mapping[str, Any], at: float) -> bool:
    return bool(row["began_at"] <= at and (row["ended_at"] is None or row["ended_at"] > at))


def _is_alone(kill: Fault, again_at: float, faults: Sequence[Fault]) -> bool:
    begins, ends = kill.began_at - _BEFORE_S, min(again_at, kill.began_at + GOAL_S)
    return not any(each is not kill and each.began_at <= ends and each.ended_at >= begins for each in faults)
