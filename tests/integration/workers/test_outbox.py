"""Messages on real workers: they leave as soon as their step is recorded, and a relay's death harms one at most."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from agentflow.client.handle import RunHandle
from tests.integration.workers.agents.letters import HELD, LETTER_TIMEOUT_S
from tests.integration.workers.nodes import lives
from tests.integration.workers.stack import Stack, WorkerPlan
from tests.integration.workers.waiting import until

WORKERS = (WorkerPlan("default", ("letters",)), WorkerPlan("models", ("letters",)))
RECORD_MARGIN_S = 10.0
PROMISED_S = 15.0


@pytest.fixture
def latch(stack: Stack) -> Iterator[None]:
    """Hold the messages that are to be held, whatever the test before did."""
    stack.world.close(HELD)
    yield
    stack.world.open(HELD)


def posted(stack: Stack, kind: str, count: int, held: int | None = None) -> RunHandle:
    return stack.client.submit("post", {"kind": kind, "count": count, "held": held})


def statuses(stack: Stack, handle: RunHandle) -> Sequence[str]:
    return [row["status"] for row in stack.client.outbox(handle.run_id)]


def await_statuses(stack: Stack, handle: RunHandle, expected: dict[str, int], *, timeout_s: float = 20.0) -> float:
    """Wait until a run's messages stand so, and return when that was."""
    ask = f"messages that are {expected}"
    until(lambda: Counter(statuses(stack, handle)), ask, timeout_s=timeout_s, holds=lambda now: now == expected)
    return time.time()


def arrivals(stack: Stack, kind: str, handle: RunHandle) -> Counter[int]:
    """Return how often each message arrived."""
    return Counter(each["n"] for each in stack.world.arrivals(kind, handle.run_id))


def test_messages_leave_as_soon_as_their_step_is_recorded_each_once(stack: Stack) -> None:
    letters, parcels = posted(stack, "letter", 100), posted(stack, "parcel", 100)

    for handle, kind in ((letters, "letter"), (parcels, "parcel")):
        ended = handle.wait(20).finished_at
        done_at = await_statuses(stack, handle, {"sent": 100})
        assert arrivals(stack, kind, handle) == dict.fromkeys(range(100), 1)
        assert ended is not None
        print(f"100 of {kind}: sent {done_at - ended.timestamp():.1f} s after their run was done")


def test_messages_are_found_though_redis_is_flushed(stack: Stack) -> None:
    handles = []
    for _ in range(5):
        handles.append(posted(stack, "parcel", 20))
        stack.servers.flush_redis()

    for handle in handles:
        await_statuses(stack, handle, {"sent": 20}, timeout_s=PROMISED_S + 5)
        assert arrivals(stack, "parcel", handle) == dict.fromkeys(range(20), 1)


@pytest.mark.slow
@pytest.mark.usefixtures("latch")
def test_a_relay_that_is_killed_in_the_middle_leaves_one_letter_in_doubt_and_no_parcel(stack: Stack) -> None:
    handles = {kind: posted(stack, kind, 20, held=9) for kind in ("letter", "parcel")}
    relays = [
        until(partial(_held, stack, kind, handle, 9), f"a {kind} that is held") for kind, handle in handles.items()
    ]

    for relay in relays:
        assert relay is not None
        os.kill(relay, signal.SIGKILL)
    killed_at = time.time()

    parcels_at = await_statuses(stack, handles["parcel"], {"sent": 20})
    letters_at = await_statuses(stack, handles["letter"], {"sent": 19, "in_doubt": 1}, timeout_s=30)
    print(
        f"parcels sent {parcels_at - killed_at:.1f} s, letters in doubt {letters_at - killed_at:.1f} s after the kill"
    )
    assert parcels_at - killed_at < PROMISED_S
    assert letters_at - killed_at >= LETTER_TIMEOUT_S + RECORD_MARGIN_S - 1
    assert arrivals(stack, "letter", handles["letter"]) == dict.fromkeys(range(20), 1)
    assert arrivals(stack, "parcel", handles["parcel"]) == {**dict.fromkeys(range(20), 1), 9: 2}
    assert len({each["key"] for each in stack.world.arrivals("parcel", handles["parcel"].run_id)}) == 20
    assert any(alert["cause"].startswith("outbox_in_doubt:") for alert in stack.client.alerts())


@pytest.mark.slow
@pytest.mark.usefixtures("latch")
def test_a_frozen_relay_is_dead_before_its_lease_is_over_and_sends_nothing_late(stack: Stack) -> None:
    handle = posted(stack, "letter", 5, held=2)
    relay = until(partial(_held, stack, "letter", handle, 2), "a letter that is held")
    assert relay is not None

    os.kill(relay, signal.SIGSTOP)
    until(lambda: not lives(relay), "the end of the frozen relay", timeout_s=LETTER_TIMEOUT_S + RECORD_MARGIN_S + 5)

    await_statuses(stack, handle, {"sent": 4, "in_doubt": 1}, timeout_s=PROMISED_S)
    assert arrivals(stack, "letter", handle) == dict.fromkeys(range(5), 1)


def _held(stack: Stack, kind: str, handle: RunHandle, n: int) -> int | None:
    """Return the process of a message that is held, once it is."""
    return next((each["pid"] for each in stack.world.arrivals(kind, handle.run_id) if each["n"] == n), None)
