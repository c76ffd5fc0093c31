"""The coordinator's task: what moves a run without a step."""

from __future__ import annotations

from typing import Any

from agentflow.domain.hint import ADVANCE_TASK
from agentflow.engine import executor

from .app import app
from .process import process


@app.task(name=ADVANCE_TASK, bind=True, ignore_result=True, Request=f"{__package__}.request:StepRequest")
def advance(task: Any, run_id: str) -> None:
    """Decide what comes next in a run, and go on with it where that may be."""
    with process.announcer.following(task.request):
        executor.advance(process.runtime, run_id)
