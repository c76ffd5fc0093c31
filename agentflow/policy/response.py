"""What is done about a failed attempt: by kind, "did it happen?", the class of the effect, and the attempts so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.domain.response import GiveUp, LeaveInDoubt, RefreshCredential, Response, Retry, StopRun
from agentflow.domain.step import Effect
from agentflow.policy.backoff import backoff_s, parking_s
from agentflow.policy.happening import happened
from agentflow.policy.taxonomy.kinds import known_kind
from agentflow.policy.taxonomy.retry_after import bound_wish

CONFLICT = 409

MAX_SPREAD_S = 5.0
"""How far those who were told one time to come back are spread behind it, at most."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an attempt that failed.

    `attempt` is its number, from 1; `earlier` counts the failures of the step's earlier attempts by kind;
    `attempts_left` is what the run's budget holds after this one (None: no ceiling); `lease_left_s` is what is left of
    the attempt's lease; `quick_attempts` are made before the step is parked for longer.
    """

    effect: Effect
    attempt: int
    earlier: Mapping[str, int]
    attempts_left: int | None
    lease_left_s: float
    is_model: bool
    has_credential: bool
    quick_attempts: int = 4

    def failures(self, kind: ErrorKind) -> int:
        """How many attempts of the step ended so, this one included."""
        return self.earlier.get(kind, 0) + 1

    @property
    def tries(self) -> int:
        """How many attempts count for the backoff: those that were answered by other means do not."""
        return max(1, self.attempt - sum(self.earlier.get(kind, 0) for kind in _ANSWERED_OTHERWISE))


_ANSWERED_OTHERWISE = (ErrorKind.RATE_LIMITED, ErrorKind.AUTH, ErrorKind.CONTEXT_OVERFLOW)


def decide_response(failed: Failed, facts: Facts, draw: float) -> Response:
    """Answer what is done about a failed attempt. `draw` is a random number from 0 up to 1."""
    kind = _kind(failed, facts)
    took_effect = happened(facts.effect, said=failed.happened)
    if took_effect is None and facts.effect in {Effect.UNSAFE, Effect.VERIFIED}:
        return LeaveInDoubt()
    if took_effect:
        return GiveUp(alert=kind in _ALERTING)
    response = _FINAL.get(kind) or _AGAIN[kind](failed, facts, draw)
    if isinstance(response, Retry | RefreshCredential) and facts.attempts_left is not None and facts.attempts_left <= 0:
        return StopRun("budget_attempts")
    if isinstance(response, Retry) and took_effect is None and facts.effect is Effect.IDEMPOTENT:
        # A request that is still under way must not land on top of what its repeat wrote.
        return Retry(max(response.after_s, facts.lease_left_s), response.reason)
    return response


def _kind(failed: Failed, facts: Facts) -> ErrorKind:
    if failed.status == CONFLICT and facts.effect is Effect.KEYED and failed.kind == ErrorKind.BAD_INPUT:
        return ErrorKind.TRANSIENT  # the key is in use: our own earlier attempt is still at work there
    return known_kind(failed.kind) or ErrorKind.BUG


def _retry_transient(failed: Failed, facts: Facts, draw: float) -> Response:
    return Retry(_not_before_wish(failed, _distance(facts, draw), draw), "retry_transient")


def _retry_timeout(failed: Failed, facts: Facts, draw: float) -> Response:
    return Retry(_not_before_wish(failed, _distance(facts, draw), draw), "retry_timeout")


def _retry_rate_limited(failed: Failed, facts: Facts, draw: float) -> Response:
    backoff = 0.0 if bound_wish(failed.retry_after_s) else backoff_s(facts.failures(ErrorKind.RATE_LIMITED), draw)
    return Retry(_not_before_wish(failed, backoff, draw), "retry_rate_limited")


def _retry_malformed(failed: Failed, facts: Facts, draw: float) -> Response:
    failures = facts.failures(ErrorKind.MALFORMED)
    if failures >= facts.quick_attempts:
        return GiveUp()
    return Retry(_not_before_wish(failed, backoff_s(failures, draw), draw), "retry_malformed")


def _retry_unconfirmed(failed: Failed, facts: Facts, draw: float) -> Response:
    failures = facts.failures(ErrorKind.UNCONFIRMED)
    if failures >= facts.quick_attempts:
        return GiveUp(alert=True)
    return Retry(_not_before_wish(failed, backoff_s(failures, draw), draw), "retry_unconfirmed")


def _refresh(_failed: Failed, facts: Facts, _draw: float) -> Response:
    first = facts.failures(ErrorKind.AUTH) == 1
    return RefreshCredential() if facts.has_credential and first else GiveUp(alert=True)


def _shrink(_failed: Failed, facts: Facts, _draw: float) -> Response:
    first = facts.failures(ErrorKind.CONTEXT_OVERFLOW) == 1
    return Retry(0.0, "retry_context_overflow") if facts.is_model and first else GiveUp()


_AGAIN: Mapping[ErrorKind, Callable[[Failed, Facts, float], Response]] = {
    ErrorKind.TRANSIENT: _retry_transient,
    ErrorKind.TIMEOUT: _retry_timeout,
    ErrorKind.RATE_LIMITED: _retry_rate_limited,
    ErrorKind.MALFORMED: _retry_malformed,
    ErrorKind.UNCONFIRMED: _retry_unconfirmed,
    ErrorKind.AUTH: _refresh,
    ErrorKind.CONTEXT_OVERFLOW: _shrink,
}

_FINAL: Mapping[ErrorKind, Response] = {
    ErrorKind.BAD_INPUT: GiveUp(),
    ErrorKind.QUOTA: StopRun("quota"),
    ErrorKind.REFUSED: GiveUp(),
    ErrorKind.TOOL_ERROR: GiveUp(),
    ErrorKind.BAD_OUTPUT: GiveUp(),
    ErrorKind.SCRATCHPAD_CONFLICT: GiveUp(),
    ErrorKind.BUG: GiveUp(alert=True),
    ErrorKind.POISON: GiveUp(alert=True),
    ErrorKind.LOST: GiveUp(alert=True),
}

_ALERTING = frozenset(
    {ErrorKind.AUTH, ErrorKind.QUOTA, ErrorKind.BUG, ErrorKind.POISON, ErrorKind.LOST, ErrorKind.UNCONFIRMED}
)


def _distance(facts: Facts, draw: float) -> float:
    beyond = facts.tries - facts.quick_attempts + 1
    return backoff_s(facts.tries, draw) if beyond < 1 else parking_s(beyond, draw)


def _not_before_wish(failed: Failed, after_s: float, draw: float) -> float:
    wish = bound_wish(failed.retry_after_s)
    if wish is None:
        return after_s
    return max(after_s, wish + draw * min(wish / 10, MAX_SPREAD_S))
