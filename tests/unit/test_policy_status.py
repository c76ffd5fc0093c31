"""Where a run stands that verifies, waits for a person, is paused, or undoes what it did."""

from __future__ import annotations

import pytest

from agentflow.domain.run import RunStatus
from agentflow.domain.step import StepStatus
from agentflow.domain.waiting import IN_DOUBT, SETTLING, VERIFYING, Person
from agentflow.policy.status import Standing, standing_of
from agentflow.store.steps import OpenStep


def an_open_step(status: StepStatus, reason: str | None = None) -> OpenStep:
    return OpenStep(1, status, status is StepStatus.PENDING and reason is not None, reason)


VERIFIED = an_open_step(StepStatus.IN_DOUBT, VERIFYING)
DOUBT = an_open_step(StepStatus.IN_DOUBT, IN_DOUBT)
ASKING_LATER = an_open_step(StepStatus.PENDING, VERIFYING)
ASKING_AGAIN = an_open_step(StepStatus.PENDING, SETTLING)
ASKING = an_open_step(StepStatus.RUNNING)
SIBLING = an_open_step(StepStatus.PENDING)
APPROVAL = an_open_step(StepStatus.PENDING, Person.APPROVAL)
QUESTION = an_open_step(StepStatus.PENDING, Person.QUESTION)
PARKED = an_open_step(StepStatus.PENDING, "retry_transient")

RUNNING = Standing(RunStatus.RUNNING)


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([VERIFIED, ASKING_LATER], Standing(RunStatus.WAITING_TOOL, VERIFYING)),
        ([VERIFIED, ASKING_AGAIN], Standing(RunStatus.WAITING_TOOL, SETTLING)),
        ([VERIFIED, ASKING], RUNNING),
        ([VERIFIED, ASKING_LATER, SIBLING], RUNNING),
        ([VERIFIED, APPROVAL, ASKING_LATER], Standing(RunStatus.WAITING_TOOL, VERIFYING)),
        ([VERIFIED, ASKING_LATER, DOUBT], Standing(RunStatus.WAITING_HUMAN, IN_DOUBT)),
    ],
    ids=["later", "again", "now", "beside a sibling", "beside an approval", "beside another doubt"],
)
def test_a_doubt_that_is_verified_stands_where_its_verification_does(steps: list[OpenStep], standing: Standing) -> None:
    assert standing_of(steps) == standing


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([APPROVAL], Standing(RunStatus.WAITING_HUMAN, "approval")),
        ([QUESTION, APPROVAL], Standing(RunStatus.WAITING_HUMAN, "question")),
        ([APPROVAL, PARKED], Standing(RunStatus.WAITING_TOOL, "retry_transient")),
        ([APPROVAL, SIBLING], RUNNING),
    ],
    ids=["approval", "question first", "beside a retry", "beside what is due"],
)
def test_a_run_waits_for_a_person_once_nothing_else_is_left(steps: list[OpenStep], standing: Standing) -> None:
    assert standing_of(steps) == standing


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([], Standing(RunStatus.PAUSED)),
        ([SIBLING, PARKED], Standing(RunStatus.PAUSED)),
        ([VERIFIED, ASKING_LATER], Standing(RunStatus.PAUSED)),
        ([VERIFIED, ASKING], RUNNING),
        ([DOUBT], Standing(RunStatus.WAITING_HUMAN, IN_DOUBT)),
    ],
    ids=["nothing", "open steps", "a verification to come", "a verification that runs", "a doubt"],
)
def test_a_pause_holds_once_nothing_runs_and_a_doubt_goes_before_it(steps: list[OpenStep], standing: Standing) -> None:
    assert standing_of(steps, is_pausing=True) == standing


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([SIBLING], Standing(RunStatus.COMPENSATING)),
        ([PARKED], Standing(RunStatus.COMPENSATING, "retry_transient")),
        ([APPROVAL], Standing(RunStatus.WAITING_HUMAN, "approval")),
        ([DOUBT], Standing(RunStatus.WAITING_HUMAN, IN_DOUBT)),
    ],
    ids=["due", "parked", "asks first", "in doubt"],
)
def test_a_run_that_undoes_what_it_did_says_so_unless_it_needs_a_person(
    steps: list[OpenStep], standing: Standing
) -> None:
    assert standing_of(steps, is_ending=True) == standing
