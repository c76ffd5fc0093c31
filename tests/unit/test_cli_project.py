"""A new project: what `agentflow init` writes agrees with what agentflow ships, and overwrites nothing."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from agentflow.cli import main
from agentflow.cli.project import FILES
from agentflow.llm.script_file import read_scripts

ROOT = Path(__file__).resolve().parents[2]
# What a project's compose file has otherwise: its agents are in its own folder, and it builds no image.
CHANGES = (
    ("below AGENTS_DIR (./agents)", "in this folder"),
    ("  build: .\n", ""),
    ("${AGENTS_DIR:-./agents}", "${AGENTS_DIR:-.}"),
    ("    AGENTFLOW_LLM_BASE_URL:\n", "    AGENT_MODEL:\n    AGENTFLOW_LLM_BASE_URL:\n"),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path / "support")]) == 0
    return tmp_path / "support"


def test_project_has_everything_it_needs(project: Path) -> None:
    assert {path.name for path in project.iterdir()} == set(FILES.values())
    assert all(path.read_text(encoding="utf-8") for path in project.iterdir())


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Procfile").write_text("mine", encoding="utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["Procfile"]
    assert "'Procfile' already" in capsys.readouterr().err


def test_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert main(["init", str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_compose_file_is_agentflows_own_for_a_folder_of_agents(project: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for ours, theirs in CHANGES:
        assert ours in text
        text = text.replace(ours, theirs)
    assert (project / "docker-compose.yml").read_text(encoding="utf-8") == text


def test_procfile_is_agentflows_own(project: Path) -> None:
    assert (project / "Procfile").read_text(encoding="utf-8") == (ROOT / "Procfile").read_text(encoding="utf-8")


def test_env_example_names_every_secret_that_the_compose_file_asks_for(project: Path) -> None:
    example = (project / ".env.example").read_text(encoding="utf-8")
    for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "AGENTFLOW_FLOWER_AUTH", "AGENTFLOW_AGENTS"):
        assert f"{name}=" in example


def test_secrets_stay_out_of_git(project: Path) -> None:
    assert ".env" in (project / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_script_calls_the_tools_that_the_agent_has(project: Path) -> None:
    read_scripts(project / "dev-model.json")
    scripts = json.loads((project / "dev-model.json").read_text(encoding="utf-8"))["scripts"]
    answers = [answer for script in scripts for answer in script["answers"] if isinstance(answer, dict)]
    called = {call["name"] for answer in answers for call in answer["tool_calls"]}
    tree = ast.parse((project / "support.py").read_text(encoding="utf-8"))
    assert called == {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
