"""How long steps of killed workers waited: which attempts count, and which waits had nothing else to blame."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.recovery import percentile, recoveries
from tests.checker.evidence import Fault

KILL = Fault("kill_worker", "models/41", 100.0, 102.0)


def attempt(
    pid: int = 41, began_at: float = 99.0, ended_at: float | None = 107.0, again_at: float | None = 108.0
) -> Any:
    return {"pid": pid, "effect": "keyed", "began_at": began_at, "ended_at": ended_at, "again_at": again_at}


def waits(*faults: Fault, held: Any) -> list[tuple[float, bool]]:
    return [(wait.seconds, wait.alone) for wait in recoveries(lambda _, **__: [held], [KILL, *faults])]


def test_a_step_waits_from_the_kill_to_its_next_attempt() -> None:
    assert waits(held=attempt()) == [(8.0, True)]


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(attempt(pid=42), id="another worker's"),
        pytest.param(attempt(began_at=101.0), id="begun after the kill"),
        pytest.param(attempt(ended_at=99.5), id="ended before the kill"),
        pytest.param(attempt(again_at=None), id="never tried again"),
    ],
)
def test_what_the_kill_did_not_hit_does_not_count(held: Any) -> None:
    assert waits(held=held) == []


@pytest.mark.parametrize(
    ("fault", "alone"),
    [
        pytest.param(Fault("refuse_postgres", "postgres", 80.0, 91.0), True, id="long over"),
        pytest.param(Fault("refuse_postgres", "postgres", 80.0, 93.0), False, id="just over: judges are not sure yet"),
        pytest.param(Fault("freeze_redis", "redis", 107.0, 120.0), False, id="before the next attempt"),
        pytest.param(Fault("freeze_redis", "redis", 109.0, 120.0), True, id="after the next attempt"),
    ],
)
def test_a_wait_is_alone_where_nothing_else_was_wrong(fault: Fault, alone: bool) -> None:
    assert waits(fault, held=attempt()) == [(8.0, alone)]


def test_what_goes_wrong_after_the_goal_was_missed_is_no_excuse() -> None:
    assert waits(Fault("freeze_redis", "redis", 116.0, 120.0), held=attempt(again_at=130.0)) == [(30.0, True)]


def test_a_percentile_is_a_value_that_was_there() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
