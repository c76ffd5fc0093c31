"""The short form of `make chaos`: everything is broken once on a loaded stack, and every promise holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it publishes no types
import pytest

from bench.processes import ROOT
from tests.acceptance.airline import dataset
from tests.chaos.plan import KINDS

pytestmark = pytest.mark.slow

SEED = 20_260
DURATION_S = 90
LONGEST_S = 900


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("chaos")
    print(f"seed {SEED}, evidence in {folder}")
    command = [sys.executable, "-m", "tests.chaos", "--seed", str(SEED), "--duration", str(DURATION_S)]
    with (folder / "chaos.log").open("w", encoding="utf-8") as log:
        chaos = subprocess.Popen([*command, "--folder", str(folder)], cwd=ROOT, stdout=log, stderr=log)
    try:
        chaos.wait(LONGEST_S)
    finally:
        chaos.terminate()
        chaos.wait()
    assert (folder / "outcome.json").exists(), (folder / "chaos.log").read_text(encoding="utf-8")[-4000:]
    yield json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert processes_in(folder) == []


def processes_in(folder: Path) -> list[str]:
    found = psutil.process_iter(["cmdline", "cwd"])
    return [str(each.info) for each in found if str(folder) in str(each.info)]


def test_no_promise_is_broken(outcome: dict[str, Any]) -> None:
    assert outcome["violations"] == []


def test_every_run_comes_to_rest(outcome: dict[str, Any]) -> None:
    assert outcome["rest"]["moving"] == []


def test_conversations_are_as_recorded(outcome: dict[str, Any]) -> None:
    if not dataset.is_present():
        pytest.skip(dataset.ABSENT)

    assert outcome["differences"] == []
    assert sum(outcome["runs"]["airline"].values()) >= 50


def test_every_kind_of_fault_has_happened(outcome: dict[str, Any]) -> None:
    assert set(KINDS) - set(outcome["faults"]) == set()


def test_the_load_is_of_all_kinds_and_killed_workers_held_some_of_it(outcome: dict[str, Any]) -> None:
    assert len(outcome["runs"]) >= 15
    assert sum(sum(found.values()) for found in outcome["runs"].values()) >= 60
    assert outcome["figures"]["attempts lost with their worker"] >= 1
