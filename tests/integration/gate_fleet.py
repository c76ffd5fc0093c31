"""Owns the other processes of the gate's tests: sixteen that call at once, and holders that are killed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier, Event

import redis

from agentflow.domain.waiting import Denial
from agentflow.gate.protocol import Admitted, Bulkhead, Denied
from agentflow.gate.redis_gate import RedisGate
from tests.integration.gate_visits import FAILURE, OK, UNUSED, enter, step

SIZE = 16
FAILING_PROBES, PROBES = 3, 60

_LONGEST_S = 30.0
# What is imported once need not be imported sixteen times.
_fresh = multiprocessing.get_context("forkserver")
_fresh.set_forkserver_preload([__name__])
_together: list[Barrier] = []


@contextmanager
def fleet() -> Iterator[ProcessPoolExecutor]:
    """Sixteen processes, each of which takes one of sixteen jobs."""
    with ProcessPoolExecutor(SIZE, _fresh, _meet_at, (_fresh.Barrier(SIZE),)) as processes:
        yield processes


def _meet_at(barrier: Barrier) -> None:
    _together.append(barrier)


def fail_until_denied(url: str, into: Bulkhead) -> int:
    """Call what fails until the breaker says no; return how many calls were let through."""
    gate, calls = RedisGate(url), 0
    _together[0].wait(_LONGEST_S)
    while isinstance(answer := gate.enter(into, step(os.getpid())), Admitted):
        calls += 1
        gate.leave(answer, FAILURE)
    assert answer.reason is Denial.BREAKER_OPEN
    return calls


def probe_until_closed(url: str, into: Bulkhead) -> list[int]:
    """Call until the breaker is closed; return how many probes, this one too, were under way during each of ours."""
    gate, world, seen = RedisGate(url), redis.Redis.from_url(url), list[int]()
    _together[0].wait(_LONGEST_S)
    while True:
        answer = gate.enter(into, step(os.getpid()))
        if isinstance(answer, Denied):
            continue
        if not answer.is_probe:
            gate.leave(answer, OK)
            return seen
        number = int(world.incr("probes"))
        seen.append(int(world.incr("inside")))
        world.decr("inside")
        gate.leave(answer, FAILURE if number <= FAILING_PROBES else UNUSED if number < PROBES else OK)


def call_on_both_sides_of_a_fork(url: str, into: Bulkhead) -> bool:
    """Call, fork, and call on both sides at once; return whether every answer was one's own."""
    gate = RedisGate(url)
    gate.leave(enter(gate, into), OK)
    child = os.fork()
    fine = _call_often(gate, into)
    if child == 0:
        os._exit(0 if fine else 1)
    return fine and os.waitpid(child, 0)[1] == 0


def _call_often(gate: RedisGate, into: Bulkhead) -> bool:
    answers = []
    for number in range(300):
        answer = gate.enter(into, step(number, holder=f"process-{os.getpid()}"))
        answers.append(answer)
        if isinstance(answer, Admitted):
            gate.leave(answer, OK)
    return all(isinstance(answer, Admitted) and f"-{os.getpid()}:" in str(answer.slot) for answer in answers)


@contextmanager
def holder(url: str, into: Bulkhead, lease_s: float) -> Iterator[Callable[[], None]]:
    """A process that has entered and does not leave; what is given kills it."""
    entered = _fresh.Event()
    process = _fresh.Process(target=_hold, args=(url, into, lease_s, entered), daemon=True)
    process.start()
    try:
        assert entered.wait(_LONGEST_S)
        yield lambda: (process.kill(), process.join())[1]
    finally:
        process.kill()
        process.join()
        process.close()


def _hold(url: str, into: Bulkhead, lease_s: float, entered: Event) -> None:
    enter(RedisGate(url), into, os.getpid(), lease_s=lease_s)
    entered.set()
    multiprocessing.Event().wait()
