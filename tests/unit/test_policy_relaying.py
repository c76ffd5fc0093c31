from __future__ import annotations

import pytest

from agentflow.domain.delivery import DELIVERY_TRANSITIONS, DeliveryStatus, before
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.domain.response import GiveUp, LeaveInDoubt, Retry, StopRun
from agentflow.domain.step import Effect
from agentflow.policy.recovery import Evidence, NotYet
from agentflow.policy.relaying import MAX_ATTEMPTS, MAX_LOST, decide_failed_delivery, decide_lost_delivery

BUSY = Failed(ErrorKind.TRANSIENT, "busy", happened=False, status=503)
CUT = Failed(ErrorKind.TRANSIENT, "cut", happened=None)


@pytest.mark.parametrize(
    ("status", "olds"),
    [
        (DeliveryStatus.CLAIMED, ["pending"]),
        (DeliveryStatus.SENDING, ["claimed"]),
        (DeliveryStatus.SENT, ["in_doubt", "sending"]),
        (DeliveryStatus.FAILED, ["in_doubt", "sending"]),
        (DeliveryStatus.IN_DOUBT, ["sending"]),
        (DeliveryStatus.PENDING, ["claimed", "in_doubt", "sending"]),
    ],
    ids=str,
)
def test_a_relay_brings_a_message_only_from_where_the_table_allows_and_never_out_of_failed(
    status: DeliveryStatus, olds: list[str]
) -> None:
    assert before(status) == olds


def test_what_was_sent_stays_sent() -> None:
    assert DELIVERY_TRANSITIONS[DeliveryStatus.SENT] == frozenset()


@pytest.mark.parametrize("earlier", [0, 1, 2, 3, 10])
def test_retries_come_at_growing_distance(earlier: int) -> None:
    def after_s(failures: int) -> float:
        counted = {"transient": failures} if failures else {}
        response = decide_failed_delivery(BUSY, Effect.UNSAFE, counted, lease_left_s=15, draw=1.0)
        assert isinstance(response, Retry)
        return response.after_s

    assert after_s(earlier) <= after_s(earlier + 1) <= 600


def test_the_last_attempt_ends_it() -> None:
    failures = {"transient": MAX_ATTEMPTS - 1}

    response = decide_failed_delivery(BUSY, Effect.KEYED, failures, lease_left_s=15, draw=0.5)

    assert response == StopRun("budget_attempts")


def test_a_maybe_of_an_unsafe_kind_is_a_doubt() -> None:
    assert decide_failed_delivery(CUT, Effect.UNSAFE, {}, lease_left_s=15, draw=0.5) == LeaveInDoubt()


@pytest.mark.parametrize(
    ("effect", "evidence", "ends"),
    [
        (Effect.KEYED, Evidence.WORKER_DEAD, Retry),
        (Effect.KEYED, Evidence.CHILD_DEAD, Retry),
        (Effect.KEYED, Evidence.LEASE_OVER, Retry),
        (Effect.IDEMPOTENT, Evidence.WORKER_DEAD, NotYet),
        (Effect.IDEMPOTENT, Evidence.CHILD_DEAD, Retry),
        (Effect.IDEMPOTENT, Evidence.OVERRUN, Retry),
        (Effect.UNSAFE, Evidence.WORKER_DEAD, NotYet),
        (Effect.UNSAFE, Evidence.CHILD_DEAD, NotYet),
        (Effect.UNSAFE, Evidence.OVERRUN, LeaveInDoubt),
        (Effect.UNSAFE, Evidence.LEASE_OVER, LeaveInDoubt),
    ],
    ids=lambda each: str(getattr(each, "__name__", each)),
)
def test_a_lost_message_is_answered_by_its_class_and_by_how_sure_the_death_is(
    effect: Effect, evidence: Evidence, ends: type
) -> None:
    assert isinstance(decide_lost_delivery(effect, evidence, {}, draw=0.5), ends)


def test_a_message_that_kills_its_relays_is_given_up() -> None:
    failures = {"lost": MAX_LOST - 1}

    assert decide_lost_delivery(Effect.KEYED, Evidence.LEASE_OVER, failures, draw=0.5) == GiveUp(alert=True)
