"""Calls that take too long: interrupted from outside their code, and answered by the class of their effect."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx2
import pytest

from agentflow import Budget, Context, Effect, Pipeline, Unknown, tool
from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed, InDoubt, Retrying
from agentflow.engine.deadman import TIMER_MARGIN_S, boottime
from agentflow.engine.interrupting import KILL_AFTER_S
from agentflow.policy.recovery import Evidence
from agentflow.testing import Harness
from tests.integration.faulty import Hang
from tests.integration.hands import Hands
from tests.integration.outside import NO_TLS, Endpoint, make_due, standing, step_error, tries, wait_s

pytest_plugins = ["tests.integration.outside_server"]

TIMEOUT_S = 0.2
AT_ONCE_S = 2.0
SLOW: list[int] = []
"""How often a call is yet to hang."""


@pytest.fixture(autouse=True)
def slow_once() -> Iterator[None]:
    SLOW[:] = [1]
    yield
    SLOW.clear()


def hang(ctx: Context) -> str:
    while SLOW:
        ctx.logger.debug("still here", key=ctx.idempotency_key)
    return "there"


HANGING = {effect: tool(effect=effect, name=f"hang_{effect}", timeout_s=TIMEOUT_S)(hang) for effect in Effect}


@HANGING[Effect.VERIFIED].verify
def was_done() -> Unknown:
    return Unknown()


def hanging(effect: str, **budget: Any) -> Pipeline:
    return Pipeline(f"hanging_{effect}", [HANGING[Effect(effect)]], budget=Budget(**budget))


def begun(agentflow: Harness, pipeline: Pipeline, input: Any = None) -> tuple[Hands, str]:
    hands = Hands(agentflow, pipeline)
    hands.runtime.draw = lambda: 0.5
    return hands, hands.begin(pipeline, input)


def timed(action: Callable[[], object]) -> tuple[Any, float]:
    began = time.monotonic()
    return action(), time.monotonic() - began


@pytest.mark.parametrize("effect", ["read", "transactional", "keyed", "idempotent"])
def test_a_hung_call_is_interrupted_and_made_again_where_the_class_allows(agentflow: Harness, effect: str) -> None:
    hands, run_id = begun(agentflow, hanging(effect))

    ending, took_s = timed(lambda: hands.do(run_id))
    SLOW.clear()
    hands.work()

    assert isinstance(ending, Retrying)
    assert ending.reason == "retry_timeout"
    assert TIMEOUT_S <= took_s < AT_ONCE_S
    assert (agentflow.client.get(run_id).result, tries(hands, run_id)) == ("there", ["retried", "ok"])


@pytest.mark.parametrize("effect", ["unsafe", "verified"])
def test_a_hung_call_is_in_doubt_where_a_repeat_could_do_it_twice(agentflow: Harness, effect: str) -> None:
    hands, run_id = begun(agentflow, hanging(effect))

    ending, took_s = timed(lambda: hands.do(run_id))
    hands.work()

    assert isinstance(ending, InDoubt)
    assert took_s < AT_ONCE_S
    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    error = step_error(hands, run_id)
    assert (error["kind"], error["happened"]) == ("timeout", None)
    assert error["message"].startswith("no answer within 0.2 s")
    assert agentflow.client.get(run_id).created_at < datetime.fromisoformat(error["sent_until"])


def test_an_idempotent_call_that_hung_is_not_repeated_while_its_request_may_be_under_way(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("idempotent"))

    hands.do(run_id)

    # The lease is the timeout and the ten seconds in which to record.
    assert 9 < wait_s(hands, run_id) <= 10


def test_what_a_transactional_tool_wrote_before_it_hung_is_gone(agentflow: Harness) -> None:
    @tool(effect="transactional", name="note", timeout_s=TIMEOUT_S)
    def note(ctx: Context) -> str:
        ctx.connection.exec_driver_sql("insert into notes values (1)")
        return hang(ctx)

    hands, run_id = begun(agentflow, Pipeline("noting", [note]))
    hands.sql("create table notes (n int)")

    assert isinstance(hands.do(run_id), Retrying)
    left = hands.value("select count(*) from notes")
    SLOW.clear()
    hands.work()
    written = hands.value("select count(*) from notes")
    hands.sql("drop table notes")

    assert (left, written) == (0, 1)


@tool(effect="read", timeout_s=TIMEOUT_S)
def stubborn() -> str:
    while SLOW:
        with suppress(Exception):
            threading.Event().wait(0.01)
    return "there"


@tool(effect="read", timeout_s=TIMEOUT_S)
def listen(url: str) -> str:
    return httpx2.get(url, timeout=None, verify=NO_TLS).text


def test_a_loop_that_swallows_every_exception_is_interrupted_all_the_same(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, Pipeline("stubborn", [stubborn]))

    ending, took_s = timed(lambda: hands.do(run_id))

    assert isinstance(ending, Retrying)
    assert took_s < AT_ONCE_S


def test_a_client_without_a_timeout_of_its_own_is_interrupted(agentflow: Harness, endpoint: Endpoint) -> None:
    endpoint.answers(Hang())
    hands, run_id = begun(agentflow, Pipeline("listening", [listen]), {"url": endpoint.url})

    ending, took_s = timed(lambda: hands.do(run_id))

    assert isinstance(ending, Retrying)
    assert took_s < AT_ONCE_S
    assert len(endpoint.arrivals) == 1


class Armed:
    """A timer that notes for when it was set, in seconds from then; None where it was disarmed."""

    def __init__(self) -> None:
        self.times: list[float | None] = []

    def arm(self, at: float) -> None:
        self.times.append(at - boottime())

    def disarm(self) -> None:
        self.times.append(None)


def test_what_survives_the_interruption_is_to_be_killed_a_little_later(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("keyed"))
    hands.runtime.timer = armed = Armed()

    hands.do(run_id)

    lease_s = TIMEOUT_S + 10 - TIMER_MARGIN_S
    expected = [lease_s, TIMEOUT_S + KILL_AFTER_S, lease_s - TIMEOUT_S]
    assert [each for each in armed.times if each is not None] == pytest.approx(expected, abs=0.5)
    assert armed.times[-1] is None


STUBBORN = """
import signal
from agentflow.engine.deadman import DeadMansTimer, boottime
from agentflow.engine.interrupting import limited

with limited(DeadMansTimer(), 0.1, until=boottime() + 60):
    while True:
        try:
            signal.pause()
        except BaseException:
            print("swallowed", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the interruption is the kill")
def test_a_process_that_swallows_even_the_interruption_is_killed() -> None:
    ended, took_s = timed(
        lambda: subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, timeout=30, check=False)
    )

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b"swallowed\n"
    assert took_s > KILL_AFTER_S


@pytest.mark.parametrize("effect", ["read", "keyed"])
@pytest.mark.parametrize("evidence", [Evidence.CHILD_DEAD, Evidence.OVERRUN])
def test_a_call_whose_process_was_killed_for_its_time_is_answered_as_a_timeout_and_not_as_a_death(
    agentflow: Harness, effect: str, evidence: Evidence
) -> None:
    hands, run_id = begun(agentflow, hanging(effect))
    claim = hands.claim(run_id)
    hands.sql("update agentflow.agent_steps set lease_until = clock_timestamp() + interval '8 seconds'")

    hands.lose(claim, evidence)

    step = hands.step_row(run_id)
    assert (step["status"], step["waiting_reason"], step["deaths"]) == ("pending", "retry_timeout", 0)
    assert step["quarantined"] is False
    assert (tries(hands, run_id), step["error"]["kind"]) == (["retried"], "timeout")


def test_an_unsafe_call_whose_process_was_killed_for_its_time_is_in_doubt(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("unsafe"))

    hands.lose(hands.claim(run_id), Evidence.OVERRUN)

    assert standing(hands, run_id) == ("waiting_human", "in_doubt")
    assert hands.causes() == {"in_doubt"}


def test_a_call_that_always_hangs_ends_with_its_attempts(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("read", attempts=3))

    hands.work()

    run = agentflow.client.get(run_id)
    assert (run.status, run.error["kind"], tries(hands, run_id)) == (
        "failed",
        "budget_attempts",
        ["retried", "retried", "error"],
    )


def test_a_call_near_its_runs_deadline_gets_only_what_is_left_of_the_time(agentflow: Harness) -> None:
    told: list[Context] = []

    @tool(effect="read", name="dawdle", timeout_s=30)
    def dawdle(ctx: Context) -> str:
        told.append(ctx)
        return hang(ctx)

    hands, run_id = begun(agentflow, Pipeline("dawdling", [dawdle]))
    hands.sql("update agentflow.agent_runs set deadline_at = clock_timestamp() + interval '0.4 seconds'")

    _, took_s = timed(lambda: hands.do(run_id))
    make_due(hands)
    hands.work()

    run = agentflow.client.get(run_id)
    assert took_s < AT_ONCE_S
    assert told[0].deadline_at == run.deadline_at
    assert (run.status, run.error["kind"], len(told)) == ("failed", "deadline", 1)


def test_a_short_budget_of_time_bounds_the_first_call_too(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("keyed", time_s=0.1))

    claim = hands.claim(run_id)

    assert claim.call_s == pytest.approx(0.1, abs=0.001)


def alarm() -> tuple[float, Any]:
    return signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)


@pytest.mark.parametrize("hangs", [False, True], ids=["in time", "overran"])
def test_nothing_fires_once_the_call_is_over(agentflow: Harness, hangs: bool) -> None:
    SLOW[:] = [1] if hangs else []
    before = alarm()
    seen: list[tuple[float, Any]] = []

    def look(point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        if point in {"after_call", "before_record", "after_record"}:
            seen.append(alarm())

    hands, run_id = begun(agentflow, hanging("keyed"))
    hands.runtime.reached = look

    hands.do(run_id)

    assert len(seen) == 3
    assert {*seen, alarm()} == {(0.0, before[1])}


def test_where_other_steps_share_the_process_nothing_is_interrupted(agentflow: Harness) -> None:
    @tool(effect="read", name="ponder", timeout_s=0.05)
    def ponder() -> float:
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            pass
        return signal.getitimer(signal.ITIMER_REAL)[0]

    hands, run_id = begun(agentflow, Pipeline("pondering", [ponder]))
    hands.runtime.isolated = False

    assert isinstance(hands.do(run_id), Completed)
    assert agentflow.client.steps(run_id)[0].output == 0.0


def test_a_late_answer_after_a_timeout_changes_nothing(agentflow: Harness) -> None:
    hands, run_id = begun(agentflow, hanging("keyed"))
    claim = hands.claim(run_id)
    hands.lose(claim, Evidence.OVERRUN)

    assert hands.record(claim, Completed("late")) is None
    SLOW.clear()
    hands.work()

    assert agentflow.client.get(run_id).result == "there"
