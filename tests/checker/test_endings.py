"""Groups 2 and 7 can fail: a run that is lost, or that rests for no reason, and a doubt that no fault explains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.checker.breaking import Broken, arriving, assert_reported, cases, found
from tests.checker.evidence import Evidence, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.checker.healthy import Healthy

NOBODY = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"


def only_faults(*kinds: str) -> object:
    """Say that the faults were of these kinds, at all times."""
    return lambda evidence, _: replace(evidence, faults=[Fault(kind, "t", 0.0, 4e9) for kind in kinds])


def also_accepted(evidence: Evidence, _: Mapping[str, str]) -> Evidence:
    return replace(evidence, accepted=[*evidence.accepted, NOBODY])


@cases(
    never_written=Broken(f"run {NOBODY}", "does not exist", evident=also_accepted),
    forgotten=Broken(
        "run {charging}",
        "nothing holds it",
        "update agentflow.agent_runs set status = 'running', finished_at = null where run_id = %(charging)s",
    ),
    forgotten_pending=Broken(
        "run {charging}",
        "nothing holds it",
        "update agentflow.agent_runs set status = 'pending', finished_at = null where run_id = %(charging)s",
    ),
    waits_for_a_key_that_is_done=Broken(
        "run {charged}",
        "nothing holds it",
        """with waiting as (
            update agentflow.agent_steps set status = 'pending', waiting_reason = 'key_in_flight'
            where run_id = %(charged)s
        )
        update agentflow.agent_runs set status = 'waiting_tool', finished_at = null where run_id = %(charged)s""",
    ),
    waits_for_a_person_who_was_not_asked=Broken(
        "run {gift}", "nothing holds it", "update agentflow.approvals set status = 'closed' where run_id = %(gift)s"
    ),
    paused_by_nobody=Broken(
        "run {paused}", "nothing holds it", "delete from agentflow.interventions where run_id = %(paused)s"
    ),
    behind_a_turn_that_nobody_has=Broken(
        "run {behind}", "nothing holds it", "update agentflow.conversations set turn_run_id = null"
    ),
    behind_a_run_that_is_over=Broken(
        "run {behind}",
        "nothing holds it",
        "update agentflow.agent_runs set status = 'done', finished_at = now() where run_id = %(parcel)s",
    ),
    doubt_that_nobody_hears_of=Broken(
        "run {parcel} step 1",
        "no person",
        "update agentflow.agent_steps set waiting_reason = 'verifying' where run_id = %(parcel)s and step_index = 1",
    ),
    doubt_without_a_cause=Broken(
        "run {parcel} step 1", "no fault explains it", evident=lambda given, _: replace(given, faults=())
    ),
)
def test_runs_that_are_lost_or_rest_for_nothing_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(2, healthy, broken)


@cases(
    of_a_person=Broken("run {parcel} step 1", "no fault is left", evident=only_faults()),
    resolved=Broken("run {told} step 1", "no fault is left", evident=only_faults()),
    verified=Broken("run {booking} step 1", "no fault is left", evident=only_faults()),
    of_a_fault_elsewhere=Broken(
        "run {parcel} step 1", "no fault is left", evident=only_faults("flush_redis", "kill_beat")
    ),
    one_child_for_three=Broken("run {told} step 1", "no fault is left", evident=only_faults("kill_child")),
    of_a_fault_long_before=Broken(
        "run {parcel} step 1",
        "no fault is left",
        evident=lambda given, _: replace(given, faults=[Fault("kill_worker", "w", 0.0, 1.0)]),
    ),
    of_a_letter=Broken(
        "message " + NOBODY,
        "no fault is left",
        f"""update agentflow.outbox set status = 'in_doubt', message_id = '{NOBODY}' where kind = 'email'""",
        evident=only_faults(),
    ),
)
def test_doubts_that_no_fault_explains_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(7, healthy, broken)


@pytest.mark.parametrize("kinds", [["kill_worker"], ["restart_postgres"], ["kill_child"] * 3], ids=",".join)
def test_faults_that_hit_the_calls_explain_their_doubts(healthy: Healthy, kinds: list[str]) -> None:
    assert found(7, healthy, Broken("", "", evident=only_faults(*kinds))) == []


def test_answer_that_the_world_spoilt_explains_the_doubt_about_its_call_alone(healthy: Healthy) -> None:
    spoilt = arriving(door="unsafe", name="send_parcel", key="{parcel}:1", fault="hang")

    def alone(evidence: Evidence, runs: Mapping[str, str]) -> Evidence:
        return replace(spoilt(evidence, runs), faults=())

    left = {violation.subject for violation in found(7, healthy, Broken("", "", evident=alone))}

    assert left == {f"run {healthy.runs[name]} step 1" for name in ("told", "booking")}
