"""Owns the plan of a run: what is broken when, and for how long, drawn from the seed alone.

Storms, in which every kind of fault comes once and many overlap, take turns with calm, in which nothing is wrong but
that one worker is killed: there it shows how soon its steps run again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

KILL_ALONE = "kill_busy_worker"
# How long each kind lasts, in seconds. The steps' leases are 12 s: a freeze may outlast them or not.
LASTS_S: Mapping[str, tuple[float, float]] = {
    "kill_worker": (0.5, 4.0),
    "kill_child": (0.0, 0.0),
    "kill_relay": (0.5, 4.0),
    "kill_relay_child": (0.0, 0.0),
    "kill_beat": (0.5, 4.0),
    "freeze_worker": (5.0, 17.0),
    "freeze_main": (5.0, 12.0),
    "freeze_child": (5.0, 17.0),
    "freeze_relay": (5.0, 17.0),
    "freeze_relay_child": (5.0, 17.0),
    "deploy": (4.0, 8.0),
    "restart_postgres": (0.0, 0.0),
    "terminate_connections": (0.0, 0.0),
    "cut_postgres": (0.0, 0.0),
    "delay_postgres": (4.0, 8.0),
    "hold_postgres": (2.0, 8.0),
    "refuse_postgres": (2.0, 6.0),
    "flush_redis": (0.0, 0.0),
    "kill_redis": (0.0, 0.0),
    "freeze_redis": (5.0, 15.0),
    "cut_redis": (0.0, 0.0),
    "delay_redis": (4.0, 8.0),
    "hold_redis": (2.0, 8.0),
    "refuse_redis": (2.0, 6.0),
    "misbehave": (12.0, 25.0),
    "misbehave_badly": (6.0, 12.0),
    "double_messages": (0.0, 0.0),
    "steal_messages": (0.0, 0.0),
}
KINDS = (*LASTS_S, KILL_ALONE)
# There is one relay, and a new one takes its time: what leaves it alive comes first.
_RELAYS = ("freeze_relay_child", "kill_relay_child", "freeze_relay", "kill_relay")

_LONGEST_CYCLE_S = 150.0
_STORM_SHARE = 0.66
_FIRST_AT_S = 2.0
SETTLES_S, RECOVERS_S = 9.0, 16.0


@dataclass(frozen=True, slots=True)
class Act:
    """A fault to come. `pick`, from 0 up to 1, chooses among whom it may hit."""

    at_s: float
    kind: str
    lasts_s: float
    pick: float


def draw_plan(seed: int, duration_s: float) -> Sequence[Act]:
    """Return the acts of a run in order."""
    draw = random.Random(seed)
    cycles = max(1, round(duration_s / _LONGEST_CYCLE_S))
    bounds = [_FIRST_AT_S + (duration_s - _FIRST_AT_S) * place / cycles for place in range(cycles + 1)]
    return [act for begin, end in pairwise(bounds) for act in (*_storm(draw, begin, end), *_calm(draw, begin, end))]


def _storm(draw: random.Random, begin_s: float, end_s: float) -> Iterator[Act]:
    over_s = begin_s + (end_s - begin_s) * _STORM_SHARE
    apart_s = (over_s - begin_s) / len(LASTS_S)
    for place, kind in enumerate(_shuffled(draw)):
        at_s = begin_s + apart_s * (place + draw.random() * 0.9)
        shortest_s, longest_s = LASTS_S[kind]
        lasts_s = draw.uniform(shortest_s, max(shortest_s, min(longest_s, over_s - at_s)))
        yield Act(at_s, kind, lasts_s, draw.random())


def _shuffled(draw: random.Random) -> Iterator[str]:
    relays = iter(_RELAYS)
    for kind in draw.sample(list(LASTS_S), len(LASTS_S)):
        yield next(relays) if kind in _RELAYS else kind


def _calm(draw: random.Random, begin_s: float, end_s: float) -> Iterator[Act]:
    """Kill a worker every so often in what is left, the last so that its steps run again before the next storm."""
    at_s = begin_s + (end_s - begin_s) * _STORM_SHARE + SETTLES_S
    yield Act(at_s, KILL_ALONE, draw.uniform(0.5, 2.0), draw.random())
    while (at_s := at_s + RECOVERS_S) + RECOVERS_S < end_s:
        yield Act(at_s, KILL_ALONE, draw.uniform(0.5, 2.0), draw.random())
