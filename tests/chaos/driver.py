"""Owns the way of a chaos: load and break for a while, heal, wait for rest, judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from tests.acceptance.airline.dataset import conversations
from tests.chaos import agents, airline
from tests.chaos.feed import Feed, Order
from tests.chaos.healing import Rest, wait_for_rest
from tests.chaos.load import Load
from tests.chaos.monkey import Monkey
from tests.chaos.operator import Operator
from tests.chaos.outcome import Outcome, count_faults, count_figures, count_runs, find_surprises
from tests.chaos.plan import draw_plan
from tests.chaos.recovery import recoveries
from tests.chaos.stack import Stack
from tests.checker.check import check
from tests.checker.evidence import Evidence, Violation

# 72 runs in 90 s, 720 in a quarter of an hour; beside them 20 conversations, or all 200.
_RUNS_PER_S = 0.8
_CONVERSATIONS_PER_S = 0.23
_FED_SHARE = 0.95
_PEOPLE_GO_ON_S = 10.0
_FEED_S = 30.0


def run_chaos(seed: int, duration_s: float, folder: Path) -> Outcome:
    """Run one chaos in a folder of its own; nothing of it goes on afterwards."""
    with Stack(folder, seed) as stack:
        monkey = Monkey(stack, draw_plan(seed, duration_s))
        feed = Feed(stack.client, list(_orders(stack, seed, duration_s)), folder / "accepted.jsonl")
        people = Operator(stack.open_client(), stack.world.folder, seed)
        feed.start()
        people.start()
        try:
            monkey.rage(duration_s)
        finally:
            never = monkey.heal()
            healed_at = _heal(stack)
        feed.finish(_FEED_S)
        threading.Event().wait(_PEOPLE_GO_ON_S)
        people.stop()
        rest = wait_for_rest(stack, healed_at)
        return _judge(stack, feed, seed, duration_s, never, rest)


def _orders(stack: Stack, seed: int, duration_s: float) -> Iterator[Order]:
    runs = round(duration_s * _RUNS_PER_S)
    for place, each in enumerate(islice(Load(seed, stack.hooks_url), runs)):
        yield Order(duration_s * _FED_SHARE * place / runs, each.kind, each.submit, each.objections)
    if stack.airline is not None:
        count = min(len(conversations()), round(duration_s * _CONVERSATIONS_PER_S))
        yield from airline.orders(stack.airline, count, duration_s * _FED_SHARE)


def _heal(stack: Stack) -> float:
    """Make all well again, and return when that was. A worker that died by itself is seated again."""
    stack.fleet.revive()
    stack.world.heal()
    for door in ("postgres", "redis"):
        stack.doors.open(door)
    return time.monotonic()


def _judge(stack: Stack, feed: Feed, seed: int, duration_s: float, never: Sequence[str], rest: Rest) -> Outcome:
    faults = stack.diary.faults
    return Outcome(
        seed=seed,
        duration_s=duration_s,
        folder=str(stack.folder),
        runs=count_runs(stack.truth.rows, feed.accepted),
        figures=count_figures(stack.truth.rows),
        surprises=find_surprises(stack.truth.rows, feed.accepted),
        faults=count_faults(faults),
        never=never,
        waits=recoveries(stack.truth.rows, faults),
        rest=rest,
        differences=None if stack.airline is None else stack.airline.differences(stack.engine),
        violations=_violations(stack, feed),
    )


def _violations(stack: Stack, feed: Feed) -> Sequence[Violation]:
    return check(
        Evidence(
            database_url=stack.database_url,
            arrivals=[*stack.world.arrivals(), *(stack.airline.arrivals() if stack.airline else ())],
            accepted=list(feed.accepted),
            redis_url=stack.servers.redis_url,
            faults=stack.diary.faults,
            canaries=agents.CANARIES,
            texts=list(stack.fleet.logs()),
            queues=stack.queues(),
        )
    )
