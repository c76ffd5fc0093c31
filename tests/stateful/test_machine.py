"""Whatever happens to runs, messages, workers and time, in whatever order: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.fleet import Fleet
from tests.stateful.machine import Machine

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "60"))
STEPS = int(os.environ.get("STATEFUL_STEPS", "30"))
# A person wants the shortest way to a failure, which takes minutes; who asks only whether there is one does not.
SHRINKS = os.environ.get("STATEFUL_SHRINKS", "yes") == "yes"


@pytest.mark.slow
def test_whatever_happens_in_whatever_order_every_rule_holds(fleet: Fleet) -> None:
    run_state_machine_as_test(
        lambda: Machine(fleet),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=False,
            print_blob=True,
            database=None,
            phases=[phase for phase in Phase if SHRINKS or phase not in {Phase.shrink, Phase.explain}],
            suppress_health_check=list(HealthCheck),
        ),
    )
