"""The whole check: nothing is found in a healthy database, and by hand it prints a table of what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.checker.__main__ import main
from tests.checker.check import GROUPS, check
from tests.world.arrival import line_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.checker.healthy import Healthy


def test_healthy_database_has_no_violation(healthy: Healthy) -> None:
    assert check(healthy.evidence) == []


def test_all_eight_groups_are_asked() -> None:
    assert list(GROUPS) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(assertions for _, assertions in GROUPS.values())


def test_by_hand_it_prints_a_table_and_says_by_its_status_that_something_is_wrong(
    healthy: Healthy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, faults = tmp_path / "world", tmp_path / "faults"
    world.mkdir()
    lines = [line_of(arrival) for arrival in healthy.evidence.arrivals]
    (world / "tools.jsonl").write_text("".join(lines))
    faults.write_text('{"kind": "restart_postgres", "target": "p", "began_at": 0, "ended_at": 4e9}\n')
    given = ["--database-url", healthy.evidence.database_url, "--world", str(world), "--faults", str(faults)]

    assert main(given) == 0
    (world / "tools.jsonl").write_text("".join(line for line in lines if "charge:1" not in line))
    assert main(given) == 1

    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["group", "violations"]
    assert [line.split()[-1] for line in printed[1:9]] == ["0"] * 8
    assert printed[10].split() == ["1", "effects", "1"]
    assert printed[-1].startswith("1 charge:1: 'charge' (keyed) had 0 effects instead of 1")
