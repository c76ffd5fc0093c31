"""The coordinator's task: what moves a run without a step."""

from __future__ import annotations

from agentflow.domain.hint import ADVANCE_TASK
from agentflow.engine import executor

from .app import app
from .process import process


@app.task(name=ADVANCE_TASK, ignore_result=True)
def advance(run_id: str) -> None:
    """Decide what comes next in a run."""
    executor.advance(process.runtime, run_id)
