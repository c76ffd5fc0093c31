"""The protocol holds in every state that its machines can reach, and each of its guards is missed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tests.model.explorer import explore
from tests.model.proof import Case, Mutant, broken_promises, cases, mutants


@pytest.mark.parametrize("case", tuple(cases()), ids=lambda case: f"{case.name}, {case.processes}")
def test_nothing_is_broken_or_stuck_in_any_state_that_can_be_reached(case: Case) -> None:
    explored = explore(case.machine)

    assert explored.violation is None
    assert explored.states == case.states


@pytest.mark.parametrize("mutant", tuple(mutants()), ids=lambda mutant: mutant.name)
def test_without_a_guard_a_violation_is_found(mutant: Mutant) -> None:
    violation = explore(mutant.machine).violation

    assert violation is not None
    assert violation.reason == mutant.reason
    assert violation.trace


@pytest.mark.parametrize("mutant", tuple(broken_promises()), ids=lambda mutant: mutant.name)
def test_a_tool_that_breaks_its_class_promise_breaks_the_step(mutant: Mutant) -> None:
    violation = explore(mutant.machine).violation

    assert violation is not None
    assert violation.reason == mutant.reason


def test_every_guard_of_every_machine_has_its_mutant() -> None:
    guards = {(type(case.machine), guard.name) for case in cases() for guard in fields(case.machine.guards)}
    missed = {(type(mutant.machine), name) for mutant in mutants() for name in _switched_off(mutant.machine)}

    assert missed == guards


def test_every_mutant_lacks_one_guard_only() -> None:
    assert {len(_switched_off(mutant.machine)) for mutant in mutants()} == {1}


def _switched_off(machine: Any) -> list[str]:
    return [each.name for each in fields(machine.guards) if not getattr(machine.guards, each.name)]
