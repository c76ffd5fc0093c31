"""What `agentflow agents check --strict` answers, by its exit code too."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli_commands import Project

SHIP = """
from agentflow import Pipeline, tool

@tool(effect="unsafe")
def ship(name: str) -> str:
    "Ship."
    return name

parcels = Pipeline("parcels", [ship])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder with an agent that leaves nothing open and a pipeline that does; no service is asked."""
    project = Project.of(tmp_path_factory.mktemp("check"), AGENTFLOW_AGENTS="nightly_agents")
    (project.folder / "parcels_agents.py").write_text(SHIP, encoding="utf-8")
    return project


def test_strict_check_fails_where_an_assumption_is_left_open(project: Project) -> None:
    checked = project.run("agents", "check", "--strict", AGENTFLOW_AGENTS="parcels_agents")
    assert checked.returncode == 1
    assert "parcels_agents.py:4: tool 'ship' is 'unsafe'" in checked.stdout
    assert "3 assumptions are left open" in checked.stdout


def test_check_counts_what_is_left_open_and_passes(project: Project) -> None:
    checked = project.run("agents", "check", AGENTFLOW_AGENTS="parcels_agents")
    assert checked.returncode == 0
    assert "3 assumptions are left open: see `agentflow agents check --strict`" in checked.stdout


def test_strict_check_of_machines_holds_what_is_open(project: Project) -> None:
    checked = project.run("agents", "check", "--strict", "--json", AGENTFLOW_AGENTS="parcels_agents")
    found = json.loads(checked.stdout)
    assert (checked.returncode, found["ok"]) == (1, False)
    assert [each["kind"] for each in found["agents"][0]["open"]] == ["no_approval", "no_compensation", "on_failure"]


def test_strict_check_passes_where_nothing_is_left_open(project: Project) -> None:
    checked = project.run("agents", "check", "--strict")
    assert checked.returncode == 0
    assert "no assumption is left open" in checked.stdout
