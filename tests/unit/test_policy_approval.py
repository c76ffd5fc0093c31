from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentflow.domain.approval import Approval, ApprovalKind, ApprovalStatus
from agentflow.domain.claim import ClaimAnswer, LockedStep, Refused
from agentflow.domain.errors import InterventionRefused
from agentflow.domain.run import RunStatus
from agentflow.domain.waiting import Person
from agentflow.policy.approval import Unapproved, refuse_decision, refuse_unapproved
from agentflow.policy.person import checked_name, checked_reason
from tests.unit.given import a_locked_step, a_run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def an_approval(**facts: Any) -> Approval:
    """An approval of the very step that `a_locked_step` gives, still open, unless told otherwise."""
    known: dict[str, Any] = {
        "kind": ApprovalKind.CALL,
        "args_hash": b"same",
        "asked": {},
        "status": ApprovalStatus.PENDING,
        "asked_at": NOW - timedelta(hours=1),
        "expires_at": LATER,
        **facts,
    }
    return Approval(approval_id="a-1", tenant="default", run_id="run-1", step_index=1, tool="refund", **known)


def decided(status: ApprovalStatus, **facts: Any) -> Approval:
    return an_approval(**{"status": status, "decided_at": NOW, "decided_by": "ada", **facts})


def a_waiting_step(**facts: Any) -> LockedStep:
    return a_locked_step(**{"person": Person.APPROVAL, **facts})


def test_step_that_wants_nobody_needs_no_approval() -> None:
    assert refuse_unapproved(a_locked_step(), None, NOW) is None


@pytest.mark.parametrize("attempt", [0, 1, 7])
def test_approval_holds_for_every_attempt_at_its_step(attempt: int) -> None:
    assert refuse_unapproved(a_waiting_step(attempt=attempt), decided(ApprovalStatus.APPROVED), NOW) is None


def test_approval_that_was_given_in_time_holds_after_that_time() -> None:
    assert refuse_unapproved(a_waiting_step(), decided(ApprovalStatus.APPROVED, expires_at=NOW), LATER) is None


@pytest.mark.parametrize(
    ("approval", "detail"),
    [
        (None, Unapproved.MISSING),
        (decided(ApprovalStatus.APPROVED, args_hash=b"other"), Unapproved.OTHER_ARGUMENTS),
        (an_approval(args_hash=b"other"), Unapproved.OTHER_ARGUMENTS),
        (decided(ApprovalStatus.REJECTED), Unapproved.REJECTED),
        (an_approval(expires_at=NOW), Unapproved.EXPIRED),
        (decided(ApprovalStatus.EXPIRED, decided_by=None), Unapproved.EXPIRED),
        (decided(ApprovalStatus.CLOSED, decided_by=None), Unapproved.MISSING),
    ],
    ids=["none", "for others", "open for others", "rejected", "expired now", "expired before", "closed"],
)
def test_step_that_nobody_approved_is_never_called(approval: Approval | None, detail: Unapproved) -> None:
    assert refuse_unapproved(a_waiting_step(), approval, NOW) == Refused(ClaimAnswer.UNAPPROVED, detail)


@pytest.mark.parametrize("person", list(Person))
def test_step_that_somebody_is_still_asked_about_is_not_due(person: Person) -> None:
    assert refuse_unapproved(a_waiting_step(person=person), an_approval(), NOW) == Refused(ClaimAnswer.NOT_DUE, person)


def test_question_cannot_be_called_by_an_approval() -> None:
    refusal = refuse_unapproved(a_waiting_step(person=Person.QUESTION), decided(ApprovalStatus.APPROVED), NOW)

    assert refusal == Refused(ClaimAnswer.UNAPPROVED, Unapproved.MISSING)


def test_open_approval_of_a_run_that_goes_on_can_be_decided() -> None:
    assert refuse_decision(a_run(), an_approval(), NOW) is None


@pytest.mark.parametrize(
    ("run", "approval", "says"),
    [
        ({}, decided(ApprovalStatus.APPROVED), "it was approved before, by 'ada' at 2026-01-02 03:04:05 UTC"),
        ({}, decided(ApprovalStatus.REJECTED), "it was rejected before, by 'ada'"),
        ({}, decided(ApprovalStatus.EXPIRED, decided_by=None), "it expired at 2026-01-02 04:04:05 UTC"),
        ({}, decided(ApprovalStatus.CLOSED, decided_by=None), "its run stopped waiting for it at 2026-01-02 03:04:05"),
        ({}, an_approval(expires_at=NOW), "it expired at 2026-01-02 03:04:05 UTC"),
        ({"status": RunStatus.CANCELLED}, an_approval(), "its run run-1 is over: cancelled"),
        ({"stop_requested": "deadline"}, an_approval(), "its run run-1 is being stopped: deadline"),
    ],
    ids=["approved", "rejected", "expired", "closed", "expires now", "run over", "run stops"],
)
def test_what_is_settled_cannot_be_decided_again(run: dict[str, Any], approval: Approval, says: str) -> None:
    assert says in str(refuse_decision(a_run(**run), approval, NOW))


def test_stopping_run_may_still_be_told_whether_to_undo_what_it_did() -> None:
    stopping = a_run(stop_requested="deadline")

    assert refuse_decision(stopping, an_approval(kind=ApprovalKind.UNDO), NOW) is None


@pytest.mark.parametrize("by", ["", "  ", None, "a\nb", "x" * 501], ids=["empty", "blank", "none", "lines", "long"])
def test_nobody_cannot_intervene(by: object) -> None:
    with pytest.raises(InterventionRefused, match="names nobody; give a name of 1 to 500 printable characters"):
        checked_name(by)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, None), ("", None), (" a\nb ", "a\nb"), ("nul \x00", "nul \ufffd"), ("lone \ud800", "lone \ufffd")],
    ids=["none", "empty", "two lines", "NUL", "surrogate"],
)
def test_reason_is_kept_so_that_it_can_be_read_back(given: str | None, kept: str | None) -> None:
    assert checked_reason(given) == kept


def test_reason_that_is_a_book_is_refused() -> None:
    with pytest.raises(InterventionRefused, match="at most 4000 characters"):
        checked_reason("x" * 4001)
