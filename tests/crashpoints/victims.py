"""Victims: processes that do one act of a scenario and are struck in the middle of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

from tests.crashpoints.children import Child, fork
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.seam import seam
from tests.crashpoints.worker import Worker

SIGNALS: Mapping[str, Signals] = {"kill": SIGKILL, "freeze": SIGSTOP}
FATES = {"kill": "killed", "freeze": "frozen"}


@dataclass(frozen=True, slots=True)
class Case:
    """A victim of a scenario that is struck at a point (from 1); `how` is `kill` or `freeze`."""

    scenario: str
    point: int
    label: str
    how: str


@dataclass
class Played:
    """What became of a case: its item, its victim, when it was begun, struck and ended, what was wrong, in words.

    `missed` says where the victim was instead, if it was not struck at its point: on its way it was too slow, say.
    """

    case: Case
    item: str
    victim: Child
    prepared: Any
    began_at: float
    struck_at: float
    ended_at: float
    missed: str
    doubts: int = 0
    accepted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def strike(worker: Worker, case: Case, item: str, prepared: Any, *, folder: Path, began_at: float) -> Played:
    """Fork a victim and wait until it has met its signal."""
    forked_at, told = time.time(), folder / f"victim-{case.scenario}-{case.point}-{case.how}.told"
    told.unlink(missing_ok=True)
    victim = fork(partial(_be_struck, worker, case, prepared, told), told.with_suffix(".json"))
    fate = victim.wait("killed", "frozen", "ended")
    reached = told.read_text() if told.exists() else "none"
    missed = "" if (fate, reached) == (FATES[case.how], case.label) else f"{fate} at {reached}: {victim.output()}"
    return Played(case, item, victim, prepared, began_at, forked_at, time.time(), missed)


def points_of(worker: Worker, scenario: str, prepared: Any, *, folder: Path) -> list[str]:
    """Let a victim do its act unharmed, and return every point that it reached."""

    def count() -> list[str]:
        worker.become_child()
        act = SCENARIOS[scenario].act(worker, prepared)
        seam.arm()
        act()
        seam.disarm()
        return seam.points

    child = fork(count, folder / "count.json")
    child.wait("ended", timeout_s=30)
    labels = child.answer()
    assert labels is not None, child.output()
    return list(labels)


def _be_struck(worker: Worker, case: Case, prepared: Any, told: Path) -> str | None:
    worker.become_child()
    act = SCENARIOS[case.scenario].act(worker, prepared)
    seam.arm_to_strike(case.point, SIGNALS[case.how], told)
    given = act()
    # The id of a run that was submitted: whoever was frozen may be answered after all.
    return given if isinstance(given, str) else None
