"""`agentflow db partitions` and `agentflow db prune`, as commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow.testing import Harness
from tests.integration.asked import begun, refunding
from tests.integration.cli_commands import Project
from tests.integration.months import APRIL, MARCH, looking, submitted_at, suffixes

pytest_plugins = ["tests.integration.month_databases"]


@pytest.fixture
def project(own_months: str, tmp_path: Path) -> Project:
    return Project.of(tmp_path / "project", AGENTFLOW_DATABASE_URL=own_months)


def test_the_partitions_are_listed_with_their_months_and_sizes(project: Project) -> None:
    told, listed = project.run("db", "partitions"), project.read("db", "partitions")

    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[0] == ["partition", "from", "until", "runs,", "about", "size"]
    assert lines[2][:4] == ["2026_04", "2026-04-01", "2026-05-01", "0"]
    assert [each["suffix"] for each in listed][-1] == "default"
    assert all(each["bytes"] > 0 for each in listed)


def test_pruning_says_first_what_it_would_do_and_then_does_it(
    project: Project, own_months: str, own_harness: Harness
) -> None:
    with submitted_at(APRIL):
        own_harness.run(looking, None, idempotency_key="k-1")
    with submitted_at(MARCH):
        waits = begun(refunding(own_harness))
    before = suffixes(own_months)

    dry = project.run("db", "prune", "--before", "2026-05-01", "--dry-run")
    assert suffixes(own_months) == before
    done = project.run("db", "prune", "--before", "2026-05-01")
    again = project.run("db", "prune", "--older-than", "90d")

    assert f"would keep before_2026_04: run {waits} is not over" in dry.stdout.replace("\n", " ")
    assert "would drop 2026_04: about " in dry.stdout
    assert "dropped 2026_04: about " in done.stdout
    assert "deleted 1 rows of run_keys" in done.stdout
    assert [each.returncode for each in (dry, done, again)] == [1, 1, 1]
    assert suffixes(own_months) == ["before_2026_04", "default"]


def test_pruning_where_nothing_is_past_says_so(project: Project) -> None:
    done = project.run("db", "prune", "--before", "2025-01-01")

    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, "", "nothing is past")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "either --before 2026-12-01 or --older-than 90d"),
        (["--before", "2026-01-01", "--older-than", "90d"], "either --before 2026-12-01 or --older-than 90d"),
        (["--before", "yesterday"], "--before='yesterday' is no date: give 2026-12-01"),
        (["--before", "2999-01-01"], "--before='2999-01-01' is yet to come: only what is past is deleted"),
        (["--older-than", "3"], "--older-than='3' is no age in days: give 90d"),
        (["--older-than", "-3d"], "--older-than='-3d' is no age in days: give 90d"),
    ],
    ids=["neither", "both", "no date", "the future", "no unit", "negative"],
)
def test_a_limit_that_is_none_is_refused(project: Project, arguments: list[str], complaint: str) -> None:
    done = project.run("db", "prune", *arguments)

    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr
