"""The machines have the tables that production has: which leases end early, what follows, and the watch's times."""

from __future__ import annotations

from itertools import product

import pytest

from agentflow.domain.step import Effect
from agentflow.engine import sweeper, watch
from agentflow.policy.recovery import Evidence, NotYet, PutInDoubt, RunAgain, Verify, decide_lost
from tests.model import heartbeat
from tests.model.step.recording import doubted
from tests.model.step.recovering import ENDS_EARLY
from tests.model.step.state import IDLE, PREFORK, Rules, State

_FOLLOWS = {RunAgain: "pending", Verify: "verifying", PutInDoubt: "person"}


@pytest.mark.parametrize(("effect", "evidence"), tuple(product(Effect, Evidence)))
def test_production_takes_an_attempt_back_where_the_model_does(effect: Effect, evidence: Evidence) -> None:
    ends = evidence not in ENDS_EARLY or effect in ENDS_EARLY[evidence]

    decided = decide_lost(effect, evidence, quarantined=False, deaths=0)

    assert ends is not isinstance(decided, NotYet)


@pytest.mark.parametrize("effect", Effect)
def test_production_makes_of_a_lost_attempt_what_the_model_does(effect: Effect) -> None:
    lost = doubted(State((IDLE,), 0, status="running"), Rules(effect))

    decided = decide_lost(effect, Evidence.LEASE_OVER, quarantined=False, deaths=0)

    assert lost.status == _FOLLOWS[type(decided)]


@pytest.mark.parametrize("effect", Effect)
def test_production_runs_in_processes_what_the_model_arms_a_timer_for(effect: Effect) -> None:
    assert effect.needs_process is (effect in PREFORK)


def test_a_gap_and_a_beat_are_no_longer_than_a_death_in_production_as_in_the_model() -> None:
    assert heartbeat.GAP + heartbeat.BEAT <= heartbeat.DEAD
    assert sweeper.GAP_S + watch.BEAT_S <= sweeper.DEAD_S
