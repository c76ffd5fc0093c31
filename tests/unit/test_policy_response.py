from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import Failed
from agentflow.domain.response import GiveUp, LeaveInDoubt, RefreshCredential, Response, Retry, StopRun
from agentflow.domain.step import Effect
from agentflow.policy.response import Facts, decide_response

GO_ON = [Effect.READ, Effect.TRANSACTIONAL, Effect.KEYED, Effect.IDEMPOTENT]
ASK = [Effect.VERIFIED, Effect.UNSAFE]


def facts(effect: Effect = Effect.READ, **known: Any) -> Facts:
    usual: dict[str, Any] = {
        "attempt": 1,
        "earlier": {},
        "attempts_left": 50,
        "lease_left_s": 5.0,
        "is_model": False,
        "has_credential": False,
    }
    return Facts(effect, **{**usual, **known})


def failed(kind: str, happened: bool | None = False, **more: Any) -> Failed:
    return Failed(kind, "said", happened, **more)


def answer(failure: Failed, draw: float = 0.5, effect: Effect = Effect.READ, **known: Any) -> Response:
    return decide_response(failure, facts(effect, **known), draw)


ROWS: dict[str, Response] = {
    "transient": Retry(0.5, "retry_transient"),
    "rate_limited": Retry(0.5, "retry_rate_limited"),
    "timeout": Retry(0.5, "retry_timeout"),
    "malformed": Retry(0.5, "retry_malformed"),
    "unconfirmed": Retry(0.5, "retry_unconfirmed"),
    "auth": GiveUp(alert=True),
    "bad_input": GiveUp(),
    "quota": StopRun("quota"),
    "context_overflow": GiveUp(),
    "refused": GiveUp(),
    "tool_error": GiveUp(),
    "bad_output": GiveUp(),
    "scratchpad_conflict": GiveUp(),
    "bug": GiveUp(alert=True),
    "poison": GiveUp(alert=True),
    "lost": GiveUp(alert=True),
    "a word of nobody's": GiveUp(alert=True),
}


def test_every_kind_has_a_row() -> None:
    assert set(ErrorKind) <= set(ROWS)


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(("kind", "response"), ROWS.items(), ids=list(ROWS))
def test_what_did_not_happen_is_answered_by_its_kind(effect: Effect, kind: str, response: Response) -> None:
    assert answer(failed(kind), effect=effect) == response


@pytest.mark.parametrize("effect", [Effect.READ, Effect.TRANSACTIONAL, Effect.KEYED])
@pytest.mark.parametrize(("kind", "response"), ROWS.items(), ids=list(ROWS))
def test_what_may_have_happened_goes_on_where_the_class_allows(effect: Effect, kind: str, response: Response) -> None:
    assert answer(failed(kind, None), effect=effect) == response


@pytest.mark.parametrize("effect", ASK)
@pytest.mark.parametrize("kind", ROWS)
def test_what_may_have_happened_is_in_doubt_where_nobody_can_tell(effect: Effect, kind: str) -> None:
    assert answer(failed(kind, None), effect=effect) == LeaveInDoubt()


@pytest.mark.parametrize("effect", [Effect.KEYED, Effect.IDEMPOTENT, *ASK])
@pytest.mark.parametrize("kind", ROWS)
def test_what_did_happen_is_never_done_again(effect: Effect, kind: str) -> None:
    alert = ROWS[kind] in (GiveUp(alert=True), StopRun("quota")) or kind == ErrorKind.UNCONFIRMED
    assert answer(failed(kind, True), effect=effect) == GiveUp(alert=alert)


@pytest.mark.parametrize("effect", [Effect.READ, Effect.TRANSACTIONAL])
def test_nothing_of_a_read_or_a_transaction_can_have_happened(effect: Effect) -> None:
    assert answer(failed("transient", True), effect=effect) == Retry(0.5, "retry_transient")


@pytest.mark.parametrize("kind", ["transient", "timeout"])
@pytest.mark.parametrize(
    ("attempt", "after_s"), [(1, 0.5), (2, 1), (3, 2), (4, 22.5), (5, 45), (6, 90), (7, 180), (8, 360), (9, 450)]
)
def test_past_the_quick_retries_a_step_is_parked_at_growing_distance(kind: str, attempt: int, after_s: float) -> None:
    assert answer(failed(kind), attempt=attempt) == Retry(after_s, f"retry_{kind}")


def test_a_step_that_says_so_is_parked_from_its_first_failure_on() -> None:
    assert answer(failed("transient"), quick_attempts=1) == Retry(22.5, "retry_transient")


def test_refusals_to_hurry_do_not_use_up_the_quick_retries() -> None:
    assert answer(failed("transient"), attempt=6, earlier={"rate_limited": 4, "auth": 1}) == Retry(
        0.5, "retry_transient"
    )


@pytest.mark.parametrize("kind", ["transient", "timeout", "rate_limited", "malformed"])
@pytest.mark.parametrize(("draw", "after_s"), [(0.0, 20.0), (0.5, 21.0), (1.0, 22.0)])
def test_the_other_sides_wish_is_kept_and_its_followers_spread_behind_it(
    kind: str, draw: float, after_s: float
) -> None:
    assert answer(failed(kind, retry_after_s=20.0), draw) == Retry(after_s, f"retry_{kind}")


def test_a_long_wish_is_followed_within_five_seconds() -> None:
    assert answer(failed("rate_limited", retry_after_s=3600.0), 1.0) == Retry(3605.0, "retry_rate_limited")


def test_a_wish_shorter_than_the_distance_does_not_shorten_it() -> None:
    assert answer(failed("transient", retry_after_s=1.0), attempt=6) == Retry(90.0, "retry_transient")


def test_without_a_wish_a_rate_limit_backs_off_by_its_own_count() -> None:
    backoffs = [answer(failed("rate_limited"), 1.0, attempt=20, earlier={"rate_limited": n}) for n in (0, 1, 4, 9)]
    assert backoffs == [Retry(seconds, "retry_rate_limited") for seconds in (1, 2, 16, 30)]


def test_what_cannot_be_read_is_asked_for_as_often_as_is_quick_and_no_more() -> None:
    answers = [answer(failed("malformed"), 1.0, attempt=9, earlier={"malformed": n}) for n in (0, 1, 2, 3)]
    assert answers == [*(Retry(seconds, "retry_malformed") for seconds in (1, 2, 4)), GiveUp()]


def test_what_is_never_confirmed_is_tried_again_three_times_and_then_told_to_a_person() -> None:
    answers = [answer(failed("unconfirmed"), 1.0, attempt=9, earlier={"unconfirmed": n}) for n in (0, 1, 2, 3)]
    assert answers == [*(Retry(seconds, "retry_unconfirmed") for seconds in (1, 2, 4)), GiveUp(alert=True)]


@pytest.mark.parametrize(
    ("has_credential", "earlier", "response"),
    [
        (True, {}, RefreshCredential()),
        (True, {"transient": 3}, RefreshCredential()),
        (True, {"auth": 1}, GiveUp(alert=True)),
        (False, {}, GiveUp(alert=True)),
    ],
)
def test_a_credential_is_refreshed_once(has_credential: bool, earlier: dict[str, int], response: Response) -> None:
    assert answer(failed("auth"), has_credential=has_credential, earlier=earlier) == response


@pytest.mark.parametrize(
    ("is_model", "earlier", "response"),
    [
        (True, {}, Retry(0.0, "retry_context_overflow")),
        (True, {"context_overflow": 1}, GiveUp()),
        (False, {}, GiveUp()),
    ],
)
def test_a_model_that_overflows_is_tried_once_more(is_model: bool, earlier: dict[str, int], response: Response) -> None:
    assert answer(failed("context_overflow"), is_model=is_model, earlier=earlier) == response


@pytest.mark.parametrize("effect", list(Effect))
def test_a_conflict_is_passing_only_where_the_key_may_be_in_use(effect: Effect) -> None:
    passing = effect is Effect.KEYED
    assert answer(failed("bad_input", status=409), effect=effect) == (
        Retry(0.5, "retry_transient") if passing else GiveUp()
    )


@pytest.mark.parametrize("kind", ["transient", "timeout", "malformed"])
def test_an_idempotent_repeat_waits_for_the_leases_end_where_the_first_may_still_arrive(kind: str) -> None:
    assert answer(failed(kind, None), effect=Effect.IDEMPOTENT) == Retry(5.0, f"retry_{kind}")
    assert answer(failed(kind, False), effect=Effect.IDEMPOTENT) == Retry(0.5, f"retry_{kind}")


@pytest.mark.parametrize("left", [0, -1])
def test_a_retry_that_no_attempt_is_left_for_stops_the_run(left: int) -> None:
    assert answer(failed("transient"), attempts_left=left) == StopRun("budget_attempts")
    assert answer(failed("rate_limited", retry_after_s=9.0), attempts_left=left) == StopRun("budget_attempts")
    assert answer(failed("auth"), has_credential=True, attempts_left=left) == StopRun("budget_attempts")


@pytest.mark.parametrize(("kind", "response"), [("bad_input", GiveUp()), ("quota", StopRun("quota"))])
def test_what_is_not_tried_again_needs_no_attempt(kind: str, response: Response) -> None:
    assert answer(failed(kind), attempts_left=0) == response


def test_a_run_without_a_ceiling_goes_on() -> None:
    assert answer(failed("transient"), attempts_left=None) == Retry(0.5, "retry_transient")


COUNTS = st.dictionaries(st.sampled_from(list(ErrorKind)), st.integers(min_value=0, max_value=10_000))
FAILURES = st.builds(
    Failed,
    kind=st.sampled_from([*ErrorKind, "odd"]),
    message=st.just("said"),
    happened=st.sampled_from([True, False, None]),
    status=st.sampled_from([None, 409, 429, 503]),
    retry_after_s=st.one_of(st.none(), st.floats()),
)
FACTS = st.builds(
    Facts,
    effect=st.sampled_from(Effect),
    attempt=st.integers(min_value=1, max_value=100_000),
    earlier=COUNTS,
    attempts_left=st.one_of(st.none(), st.integers(min_value=0, max_value=60)),
    lease_left_s=st.floats(min_value=-100, max_value=10_000),
    is_model=st.booleans(),
    has_credential=st.booleans(),
)


@given(FAILURES, FACTS, st.floats(min_value=0, max_value=1))
def test_no_retry_waits_for_ever_or_less_than_nothing(failure: Failed, known: Facts, draw: float) -> None:
    response = decide_response(failure, known, draw)
    if isinstance(response, Retry):
        assert math.isfinite(response.after_s)
        assert 0 <= response.after_s <= max(3605, known.lease_left_s)
        assert known.attempts_left != 0


@given(FAILURES, FACTS, st.floats(min_value=0, max_value=1))
def test_no_retry_comes_before_the_time_that_was_asked_for(failure: Failed, known: Facts, draw: float) -> None:
    response = decide_response(failure, known, draw)
    wish = failure.retry_after_s
    if isinstance(response, Retry) and wish is not None and 0 < wish <= 3600 and response.reason[6:] == failure.kind:
        assert response.after_s >= wish or failure.kind == "context_overflow"


@given(FAILURES, FACTS, st.floats(min_value=0, max_value=1))
def test_what_may_have_happened_is_never_repeated_where_a_repeat_does_harm(
    failure: Failed, known: Facts, draw: float
) -> None:
    response = decide_response(failure, known, draw)
    if failure.happened is not False and known.effect in ASK:
        assert not isinstance(response, Retry | RefreshCredential)
