"""The locks pin what pyproject.toml asks for, with hashes, and say nothing of where it comes from."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["build", "dev", "run"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"]
BUILD = PROJECT["dependency-groups"]["build"]
EXTRAS = itertools.chain.from_iterable(PROJECT["project"]["optional-dependencies"].values())
WANTED = {"run": RUN, "build": BUILD, "dev": [*RUN, *BUILD, *EXTRAS]}


def read_lock(name: str) -> list[str]:
    """The lock's entries, each with its hashes in one line."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    return [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def pinned_versions(name: str) -> dict[str, str]:
    """Version by canonical package name."""
    requirements = [Requirement(entry.partition("--hash")[0]) for entry in read_lock(name)]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_carries_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_of_the_lock_is_exact_and_hashed(name: str) -> None:
    loose = [entry for entry in read_lock(name) if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)]
    assert loose == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_a_fitting_version_of_everything_the_project_asks_for(name: str) -> None:
    pinned = pinned_versions(name)
    wanted = [Requirement(text) for text in WANTED[name] if not text.startswith("agentflow")]
    assert wanted
    for each in wanted:
        assert each.specifier.contains(pinned[canonicalize_name(each.name)]), (
            f"run `make lock`: {each} is not in {name}"
        )


@pytest.mark.parametrize("name", ["build", "run"])
def test_image_gets_the_versions_that_were_tested(name: str) -> None:
    tested = pinned_versions("dev")
    assert {package: tested.get(package) for package in pinned_versions(name)} == pinned_versions(name)
