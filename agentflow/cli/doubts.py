"""A step in doubt, in words: until when its call can have been sent, and how a person ends the doubt. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from agentflow.cli.figures import age, moment
from agentflow.domain.step import StepStatus
from agentflow.domain.waiting import IN_DOUBT
from agentflow.store.reads import StepRecord


def doubts_of(steps: Sequence[StepRecord]) -> list[StepRecord]:
    """Return the steps that wait for a person to say what became of them."""
    return [step for step in steps if step.status == StepStatus.IN_DOUBT and step.waiting_reason == IN_DOUBT]


def last_moment_of(step: StepRecord, now: datetime) -> str:
    """Return until when a call in doubt can have been sent: what it did may be found up to some time after that."""
    until = step.error.get("sent_until") if isinstance(step.error, Mapping) else None
    if until is None:
        return "nobody knows until when it can have been sent"
    at = datetime.fromisoformat(until)
    return f"it can have been sent until {moment(at)} ({age(at, now)})"


def ways_out(run_id: str, doubts: Sequence[StepRecord]) -> list[str]:
    """Return the commands that end doubts, one for each, to be copied; each stands for its variants too."""
    if len(doubts) == 1:
        return [f"agentflow runs resolve {run_id} happened"]
    return [f"agentflow runs resolve {run_id} --step {step.step_index} happened" for step in doubts]


def name_of(step: StepRecord) -> str:
    """Return a step's name: its tool, or which step it verifies or undoes."""
    if step.subject_index is None:
        return step.tool_name
    return f"{step.tool_name} of {step.subject_index} {step.subject_tool or ''}".rstrip()
