"""Waiting for a run and showing how it goes: a growing timeline on a terminal, one line for each change in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agentflow.cli.complaints import FAILED, OK, NotFinished
from agentflow.cli.figures import duration, one_line
from agentflow.cli.output import console, print_json
from agentflow.cli.steps import answers
from agentflow.cli.timeline import Timeline, why_of
from agentflow.cli.tries import retried
from agentflow.client import Client, RunHandle
from agentflow.domain.run import Outcome, RunStatus
from agentflow.store.reads import RunRecord, StepRecord

_UNSERVED_EVERY_S = 2.0
_FIRST_UNSERVED_S = 1.0
_LONGEST_LINE = 160
# Header, heading and foot of a timeline, and a step's line with what usually stands below it.
_FRAME_LINES, _STEP_LINES = 12, 4


class Show(Protocol):
    """Shows one reading after the other."""

    def __call__(self, run: RunRecord, steps: Sequence[StepRecord], unserved: str) -> None:
        """Show a reading."""
        ...


def follow(client: Client, handle: RunHandle, *, timeout_s: float | None, json: bool) -> int:
    """Wait for a run and show it; return the exit code, or raise NotFinished or WaitTimeout where it goes on."""
    screen = console(errors=json)
    with ExitStack() as stack:
        follower = Follower(client, _show_on(screen, handle, stack, quiet=json and not screen.is_terminal))
        try:
            run = client.wait(handle.run_id, timeout_s=timeout_s, seen=follower.look)
        except KeyboardInterrupt:
            raise NotFinished(f"run {handle.run_id} goes on; see `agentflow runs show {handle.run_id}`") from None
    if json:
        print_json({"created": handle.created, "run": run, "steps": client.steps(handle.run_id)})
    return OK if run.status == RunStatus.DONE else FAILED


@dataclass(slots=True)
class Follower:
    """Looks at each reading of a run, and at who serves what it waits for."""

    client: Client
    show: Show
    clock: Callable[[], float] = time.monotonic
    _seen: object = None
    _unserved: str = ""
    _look_at_s: float | None = None

    def look(self, run: RunRecord) -> None:
        """Show the run as it stands; raise NotFinished where only a person can move it."""
        steps = self.client.steps(run.run_id)
        seen = (run.status, run.waiting_reason, [_stand(step) for step in steps])
        if seen != self._seen:
            self._seen, self._unserved = seen, ""
            self._look_at_s = self.clock() + _FIRST_UNSERVED_S
        if not run.is_final and self._look_at_s is not None and self.clock() >= self._look_at_s:
            self._unserved = _unserved(self.client, run, steps)
            self._look_at_s = self.clock() + _UNSERVED_EVERY_S
        self.show(run, steps, self._unserved)
        if run.status in {RunStatus.WAITING_HUMAN, RunStatus.PAUSED}:
            reason = f": {run.waiting_reason}" if run.waiting_reason else ""
            raise NotFinished(f"run {run.run_id} is {run.status}{reason}; see `agentflow runs show {run.run_id}`")


def _unserved(client: Client, run: RunRecord, steps: Sequence[StepRecord]) -> str:
    from agentflow.cli.unserved import say_unserved, unserved_queues

    queues = unserved_queues(client, run, steps)
    return say_unserved(queues) if queues else ""


def _show_on(screen: Console, handle: RunHandle, stack: ExitStack, *, quiet: bool) -> Show:
    if quiet:
        return lambda _run, _steps, _unserved: None
    if screen.is_terminal:
        return LiveTimeline(stack.enter_context(Live(console=screen, refresh_per_second=4, transient=False)))
    return ChangeLines(handle.run_id)


@dataclass(frozen=True, slots=True)
class LiveTimeline:
    """On a terminal: the timeline, as much of it as there is room for, and all of it at the end."""

    live: Live

    def __call__(self, run: RunRecord, steps: Sequence[StepRecord], unserved: str) -> None:
        """Draw a reading."""
        room = None if run.is_final else max(1, (self.live.console.height - _FRAME_LINES) // _STEP_LINES)
        if run.is_final:
            self.live.vertical_overflow = "visible"
        timeline = Timeline(run, steps, datetime.now(UTC), last_steps=room)
        notes = [Text(unserved, style="bold yellow")] if unserved else []
        self.live.update(Group(timeline, *notes), refresh=True)


class ChangeLines:
    """In a pipe: a line for each step that changed, the run's id first and its result last."""

    def __init__(self, run_id: str) -> None:
        self._steps: dict[int, _Stand] = {}
        self._unserved = ""
        self._status: tuple[str, str | None] | None = None
        _say(run_id)

    def __call__(self, run: RunRecord, steps: Sequence[StepRecord], unserved: str) -> None:
        """Write what changed."""
        at = duration((datetime.now(UTC) - run.created_at).total_seconds())
        for step in steps:
            if self._steps.get(step.step_index) != _stand(step):
                self._steps[step.step_index] = _stand(step)
                _say(f"+{at}  {_step_line(step)}")
        if unserved and unserved != self._unserved:
            print(f"agentflow: {unserved}", file=sys.stderr, flush=True)
        self._unserved = unserved
        if (run.status, run.waiting_reason) != self._status:
            self._status = (run.status, run.waiting_reason)
            _say(f"+{at}  run {run.status}" + (f" ({run.waiting_reason})" if run.waiting_reason else ""))
            _say_end(run)


def _say_end(run: RunRecord) -> None:
    if run.status == RunStatus.DONE:
        if run.outcome not in {None, Outcome.COMPLETE}:
            _say(f"outcome {run.outcome}: {why_of(run.error)}")
        if run.outcome != Outcome.HANDOFF or run.result is not None:
            _say(f"result {one_line(run.result)}")
    elif run.is_final:
        _say(f"error {one_line(run.error or run.stop_requested)}")


_Stand = tuple[str, int, str | None]


def _stand(step: StepRecord) -> _Stand:
    return step.status, step.attempt, step.waiting_reason


def _step_line(step: StepRecord) -> str:
    tries = f", try {step.attempt}" if step.attempt > 1 else ""
    said = "; ".join(f"{label} {one_line(value)}" for label, value in answers(step)) if step.status == "ok" else ""
    if step.error and step.status not in {"pending", "running"}:
        said = one_line(step.error)
    if step.status == "pending" and step.waiting_reason:
        said = retried(step.error) if step.waiting_reason.startswith("retry_") else f"waits: {step.waiting_reason}"
    return f"step {step.step_index} {step.tool_name} {step.status}{tries}  {said[:_LONGEST_LINE]}".rstrip()


def _say(line: str) -> None:
    print(line, flush=True)
