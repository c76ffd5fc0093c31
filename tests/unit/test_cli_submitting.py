from __future__ import annotations

import pytest

from agentflow.cli.complaints import WrongUse
from agentflow.cli.submitting import parse_ceilings


def test_ceilings_are_read_by_name_whole_ones_as_whole_numbers() -> None:
    ceilings = parse_ceilings(["cost_usd=0.10", "steps = 5", "time_s=2e1"])

    assert ceilings == {"cost_usd": 0.1, "steps": 5, "time_s": 20.0}
    assert isinstance(ceilings["steps"], int)


def test_no_option_lowers_nothing() -> None:
    assert parse_ceilings([]) == {}


@pytest.mark.parametrize("given", ["steps", "steps=", "steps=few", "steps=1=2", "5", ""])
def test_what_is_no_ceiling_and_number_is_refused(given: str) -> None:
    with pytest.raises(WrongUse, match=f"--budget='{given}' is no ceiling and number; write it as cost_usd=0.10"):
        parse_ceilings([given])


def test_a_ceiling_that_is_given_twice_is_refused() -> None:
    with pytest.raises(WrongUse, match="--budget='steps=6' gives 'steps' a second time"):
        parse_ceilings(["steps=5", "steps=6"])
