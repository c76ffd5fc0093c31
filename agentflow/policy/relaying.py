"""What becomes of a message whose delivery failed, or whose relay was lost: it waits, ends, or is in doubt."""

from __future__ import annotations

from collections.abc import Mapping

from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.domain.response import GiveUp, LeaveInDoubt, Response, Retry
from agentflow.domain.step import Effect
from agentflow.policy.backoff import backoff_s
from agentflow.policy.recovery import Evidence, NotYet, PutInDoubt, decide_lost
from agentflow.policy.response import Facts, decide_response

MAX_ATTEMPTS = 200
"""After so many failures, about a day after the first, a message has failed for good."""

MAX_LOST = 5
"""After so many relays that died in the middle of it, too: it may be the message that kills them."""


def decide_failed_delivery(
    failed: Failed, effect: Effect, failures: Mapping[str, int], *, lease_left_s: float, draw: float
) -> Response:
    """Answer what is done about a delivery that failed. `failures` counts the message's earlier ones by kind."""
    attempt = sum(failures.values()) + 1
    facts = Facts(
        effect=effect,
        attempt=attempt,
        earlier=failures,
        attempts_left=MAX_ATTEMPTS - attempt,
        lease_left_s=lease_left_s,
        is_model=False,
        has_credential=False,
    )
    return decide_response(failed, facts, draw)


def decide_lost_delivery(
    effect: Effect, evidence: Evidence, failures: Mapping[str, int], *, draw: float
) -> Response | NotYet:
    """Answer what is done about a message that was being sent when its relay was lost.

    One that kills its relay each time comes back at growing distance, and comes to its ceiling.
    """
    decided = decide_lost(effect, evidence, quarantined=False, deaths=0)
    if isinstance(decided, NotYet):
        return decided
    if isinstance(decided, PutInDoubt):
        return LeaveInDoubt()
    times = failures.get(ErrorKind.LOST, 0) + 1
    if times >= MAX_LOST or sum(failures.values()) + 1 >= MAX_ATTEMPTS:
        return GiveUp(alert=True)
    return Retry(backoff_s(times, draw), "retry_lost")
