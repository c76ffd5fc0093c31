"""The packages beside the engine are found in a repository and in a wheel, and the wheel takes no other name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agentflow import layout
from agentflow.domain.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]

ASK_THE_LAYOUT = """
import importlib.util, tasks
from agentflow import layout
print(layout.module_name("tasks.app"))
print(layout.path("config/flower.py"))
print(importlib.util.find_spec(layout.module_name("tasks")).submodule_search_locations[0])
print(tasks.OWNER)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return next(folder.glob("*.whl"))


def test_repository_keeps_the_top_level_names() -> None:
    assert layout.module_name("tasks.app") == "tasks.app"
    assert layout.path("config/flower.py") == ROOT / "config" / "flower.py"


@pytest.mark.parametrize("name", ["examples.refunds", "tasksx", "", "agentflow.domain"])
def test_module_that_is_not_packed_beside_the_engine_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not packed beside the engine"):
        layout.module_name(name)


@pytest.mark.parametrize("relative", ["docs/index.md", "", "/config", "../config"])
def test_path_outside_the_packed_folders_is_refused(relative: str) -> None:
    with pytest.raises(ConfigError, match="is not packed beside the engine"):
        layout.path(relative)


def test_path_that_climbs_out_of_its_package_is_refused() -> None:
    with pytest.raises(ConfigError, match="leaves its package"):
        layout.path("config/../pyproject.toml")


def test_missing_file_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"'config/absent\.toml' is missing from this installation"):
        layout.path("config/absent.toml")


def test_wheel_takes_no_name_but_agentflow(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"agentflow", "agentflow-0.1.0.dist-info"}
    assert {"agentflow/py.typed", "agentflow/layout.py", "agentflow/bundled/config/flower.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("package", layout.BESIDE_THE_ENGINE)
def test_wheel_carries_every_file_of_the_packages_beside_the_engine(wheel: Path, package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sources = {path.relative_to(ROOT).as_posix() for path in files}
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert sources
    assert {f"agentflow/bundled/{source}" for source in sources} <= packed


def test_installed_wheel_leaves_a_users_own_tasks_package_alone(wheel: Path, tmp_path: Path) -> None:
    installed, project = tmp_path / "installed", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(installed)
    (project / "tasks").mkdir(parents=True)
    (project / "tasks" / "__init__.py").write_text("OWNER = 'the user'\n")

    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_LAYOUT],
        cwd=project,
        env={"PYTHONPATH": f"{project}:{installed}"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    bundled = installed / "agentflow" / "bundled"
    assert asked.stdout.splitlines() == [
        "agentflow.bundled.tasks.app",
        str(bundled / "config" / "flower.py"),
        str(bundled / "tasks"),
        "the user",
    ]
