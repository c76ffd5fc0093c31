"""What follows from a step that clears up: the verdict of a verification, the end of a compensation."""

from __future__ import annotations

import random

from agentflow.domain.claim import LockedStep
from agentflow.domain.hint import Hint
from agentflow.domain.outcome import Completed, Failed, InDoubt
from agentflow.domain.run import Run
from agentflow.domain.step import VERIFY
from agentflow.engine.undoing import end_compensation
from agentflow.engine.verifying import end_doubt
from agentflow.store.database import Transaction


def follow_clearing(
    tx: Transaction, run: Run, step: LockedStep, outcome: Completed | Failed | InDoubt, *, draw: float | None = None
) -> list[Hint]:
    """Write what a locked verification, or compensation, makes of the step that it is about; return the hints.

    `draw` is a random number from 0 up to 1, for the distance of a retry.
    """
    if step.tool_name == VERIFY:
        return end_doubt(tx, run, step, outcome, draw=random.random() if draw is None else draw)  # noqa: S311
    if isinstance(outcome, InDoubt):
        return []
    return end_compensation(tx, run, step, is_undone=isinstance(outcome, Completed))
