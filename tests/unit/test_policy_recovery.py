from __future__ import annotations

import itertools

import pytest

from agentflow.domain.step import Effect
from agentflow.policy.happening import happened
from agentflow.policy.recovery import (
    POISON_DEATHS,
    Evidence,
    NotYet,
    Poison,
    PutInDoubt,
    Recovery,
    RunAgain,
    Verify,
    decide_lost,
)

AGAIN = RunAgain(0)
ELSEWHERE = RunAgain(0, alone=False)
ANYHOW: dict[Evidence, Recovery] = {**dict.fromkeys(Evidence, ELSEWHERE), Evidence.CHILD_DEAD: AGAIN}

# The protocol's first table: class by class, what a lost attempt becomes on each evidence.
LOST: dict[Effect, dict[Evidence, Recovery]] = {
    Effect.READ: ANYHOW,
    Effect.TRANSACTIONAL: ANYHOW,
    Effect.KEYED: ANYHOW,
    Effect.IDEMPOTENT: {
        Evidence.LEASE_OVER: ELSEWHERE,
        Evidence.OVERRUN: ELSEWHERE,
        Evidence.WORKER_DEAD: NotYet(),
        Evidence.CHILD_DEAD: AGAIN,
        Evidence.RELEASED: ELSEWHERE,
    },
    Effect.VERIFIED: {
        Evidence.LEASE_OVER: Verify(0),
        Evidence.OVERRUN: Verify(0),
        Evidence.WORKER_DEAD: NotYet(),
        Evidence.CHILD_DEAD: NotYet(),
        Evidence.RELEASED: NotYet(),
    },
    Effect.UNSAFE: {
        Evidence.LEASE_OVER: PutInDoubt(),
        Evidence.OVERRUN: PutInDoubt(),
        Evidence.WORKER_DEAD: NotYet(),
        Evidence.CHILD_DEAD: NotYet(),
        Evidence.RELEASED: NotYet(),
    },
}


@pytest.mark.parametrize(("effect", "evidence"), list(itertools.product(Effect, Evidence)))
def test_a_lost_attempt_becomes_what_its_class_and_the_evidence_say(effect: Effect, evidence: Evidence) -> None:
    assert decide_lost(effect, evidence, quarantined=False, deaths=0) == LOST[effect][evidence]


@pytest.mark.parametrize(("lost_before", "decided"), [(False, ELSEWHERE), (True, AGAIN)], ids=["first", "again"])
def test_a_step_is_suspected_when_it_is_lost_with_a_whole_worker_for_the_second_time(
    lost_before: bool, decided: Recovery
) -> None:
    lost = decide_lost(Effect.KEYED, Evidence.WORKER_DEAD, quarantined=False, deaths=0, lost_before=lost_before)

    assert lost == decided


@pytest.mark.parametrize("effect", [Effect.READ, Effect.TRANSACTIONAL, Effect.KEYED, Effect.IDEMPOTENT])
def test_only_deaths_in_quarantine_count_until_the_third_is_poison(effect: Effect) -> None:
    lost = [
        decide_lost(effect, Evidence.CHILD_DEAD, quarantined=quarantined, deaths=deaths)
        for quarantined, deaths in [(False, 0), (True, 0), (True, 1), (True, POISON_DEATHS - 1)]
    ]

    assert lost == [RunAgain(0), RunAgain(1), RunAgain(1), Poison(1)]


@pytest.mark.parametrize(("quarantined", "decided"), [(False, ELSEWHERE), (True, AGAIN)])
def test_a_worker_that_was_told_to_end_is_no_death_however_often(quarantined: bool, decided: Recovery) -> None:
    lost = decide_lost(Effect.READ, Evidence.RELEASED, quarantined=quarantined, deaths=POISON_DEATHS - 1)

    assert lost == decided


def test_a_death_beside_others_never_makes_a_step_poison() -> None:
    assert decide_lost(Effect.READ, Evidence.CHILD_DEAD, quarantined=False, deaths=POISON_DEATHS - 1) == RunAgain(0)


@pytest.mark.parametrize(("effect", "lost"), [(Effect.VERIFIED, Verify(1)), (Effect.UNSAFE, PutInDoubt())])
def test_what_is_in_doubt_is_so_at_its_first_death_and_not_poison_before_that_is_ended(
    effect: Effect, lost: Recovery
) -> None:
    assert decide_lost(effect, Evidence.LEASE_OVER, quarantined=True, deaths=POISON_DEATHS) == lost


@pytest.mark.parametrize("said", [True, False, None])
@pytest.mark.parametrize("effect", list(Effect))
def test_a_failure_happened_as_the_tool_says_except_where_nothing_can_happen(effect: Effect, said: bool | None) -> None:
    never = effect in {Effect.READ, Effect.TRANSACTIONAL}

    assert happened(effect, said=said) == (False if never else said)
