"""Group 4 can fail: each ceiling, each sum and each reservation that does not hold is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.checker.breaking import Broken, assert_reported, cases

if TYPE_CHECKING:
    from tests.checker.healthy import Healthy

GROUP = 4
RUN = "run {errands}"


def on_run(change: str) -> str:
    """Return the statement that changes a run."""
    return f"update agentflow.agent_runs set {change} where run_id = %(errands)s"


@pytest.mark.parametrize("name", ["attempts", "tool_calls", "tokens", "cost_usd"])
def test_spending_beyond_a_ceiling_is_reported(healthy: Healthy, name: str) -> None:
    ceiling = on_run(f"budget = jsonb_set(budget, '{{{name}}}', to_jsonb(spent_{name} / 2.0))")

    assert_reported(GROUP, healthy, Broken(RUN, f" {name}", ceiling))


@pytest.mark.parametrize("name", ["tokens", "cost_usd"])
def test_reservation_that_would_pass_a_ceiling_is_reported(healthy: Healthy, name: str) -> None:
    both = f"budget = jsonb_set(budget, '{{{name}}}', to_jsonb(spent_{name} + 1)), reserved_{name} = 2"

    assert_reported(GROUP, healthy, Broken(RUN, "has spent or reserved", on_run(both)))


@pytest.mark.parametrize("name", ["attempts", "tool_calls", "tokens", "cost_usd"])
def test_spending_that_the_log_does_not_add_up_to_is_reported(healthy: Healthy, name: str) -> None:
    more = on_run(f"budget = '{{}}', spent_{name} = spent_{name} + 1")

    assert_reported(GROUP, healthy, Broken(RUN, f"{name}; its log adds up to", more))


@cases(
    lost_call_not_charged=Broken(
        "run {thinking}",
        "its log adds up to",
        "delete from agentflow.model_calls where run_id = %(thinking)s and attempt = 1",
    ),
    steps_beyond_the_ceiling=Broken(RUN, "has 8 steps of 3", on_run("""budget = budget || '{"steps": 3}'""")),
    reserved_by_no_step=Broken(RUN, "its steps 0", on_run("reserved_tokens = 1")),
    reserved_at_rest=Broken(
        RUN,
        "nothing runs",
        on_run("reserved_tokens = 5")
        + "; update agentflow.agent_steps set reserved_tokens = 5 where run_id = %(errands)s and step_index = 7",
    ),
    reserved_less_than_nothing=Broken(RUN, "has reserved -1", on_run("reserved_tokens = -1")),
    undone_too_often=Broken(
        "run {undone} step 2",
        "was tried 99 times",
        "update agentflow.agent_steps set attempt = 99 where run_id = %(undone)s and step_index = 2",
    ),
    call_of_no_attempt=Broken(
        "run {errands} step 7",
        "an attempt 9 that never was",
        "update agentflow.model_calls set attempt = 9 where run_id = %(errands)s and step_index = 7",
    ),
)
def test_sums_and_reservations_that_do_not_hold_are_reported(healthy: Healthy, broken: Broken) -> None:
    assert_reported(GROUP, healthy, broken)
