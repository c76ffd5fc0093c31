"""The crash points that the suite plays; `python -m tests.crashpoints` plays them all.

The sample is stated in `cases.sample`: of each scenario every 17th point from an offset of its own, killed or frozen in
turn, and of the keyed, the verified and the unsafe call the commits of claim and record, both before and after, both
killed and frozen. The points themselves are all counted, each time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crashpoints.cases import PINNED

REPOSITORY = Path(__file__).resolve().parents[2]
NUMBERS: dict[str, int] = json.loads(PINNED.read_text())
RENEW = "where that is meant, write the new numbers down: python -m tests.crashpoints --renew"
SIDES = ("before ", "after ")
of_each_scenario = pytest.mark.parametrize("scenario", NUMBERS)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the sample came to."""
    folder = tmp_path_factory.mktemp("crashpoints")
    command = [sys.executable, "-m", "tests.crashpoints", "--sample", "--report", str(folder / "report.json")]
    played = subprocess.run(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    assert (folder / "report.json").exists(), played.stdout[-5000:]
    return json.loads((folder / "report.json").read_text())


def test_no_scenario_has_come_or_gone(report: Any) -> None:
    assert list(report["points"]) == list(NUMBERS), RENEW


@of_each_scenario
def test_the_points_of_a_scenario_are_as_many_as_are_pinned(report: Any, scenario: str) -> None:
    labels = report["points"][scenario]

    assert len(labels) == NUMBERS[scenario], f"{RENEW}\n{labels}"


@of_each_scenario
def test_every_statement_and_commit_is_a_point_before_and_after_it(report: Any, scenario: str) -> None:
    labels = [label for label in report["points"][scenario] if "redis" not in label and "smtp" not in label]

    sides = {side: Counter(label[len(side) :] for label in labels if label.startswith(side)) for side in SIDES}

    assert sides["before "] == sides["after "]


@of_each_scenario
def test_whoever_is_killed_or_frozen_loses_nothing_and_does_nothing_twice(report: Any, scenario: str) -> None:
    results = [result for result in report["results"] if result["case"]["scenario"] == scenario]

    assert [result for result in results if result["wrong"]] == []
    assert results


@pytest.mark.parametrize("scenario", ["keyed", "verified", "unsafe"])
def test_the_commits_of_claim_and_record_are_always_in_the_sample(report: Any, scenario: str) -> None:
    cases = [result["case"] for result in report["results"] if result["case"]["scenario"] == scenario]

    at_commits = Counter((case["label"], case["how"]) for case in cases if case["label"].endswith("commit"))

    sides = ("before commit", "after commit")
    assert at_commits == {(label, how): 2 for label in sides for how in ("kill", "freeze")}
