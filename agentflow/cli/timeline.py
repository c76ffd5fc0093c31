"""A run as a timeline: what it was asked, each step with its attempts, what it waits for, how it ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from agentflow.cli.doubts import doubts_of, last_moment_of, name_of, ways_out
from agentflow.cli.figures import between, duration, moment, money, one_line, whole
from agentflow.cli.history import history_lines
from agentflow.cli.steps import Columns, hanging, step_lines
from agentflow.cli.tries import waits_of
from agentflow.store.reads import RunRecord, StepRecord

STYLES = {
    "done": "bold green",
    "ok": "green",
    "failed": "bold red",
    "error": "red",
    "cancelled": "bold yellow",
    "in_doubt": "bold yellow",
    "waiting_human": "bold yellow",
    "waiting_tool": "yellow",
    "running": "cyan",
    "compensating": "cyan",
    "pending": "dim",
    "paused": "yellow",
    "skipped": "dim",
}
_LABEL = 8
_VARIANTS = "or retry, or fail; with happened, --answer JSON says what the tool would have returned"
_CEILINGS = (("attempts", "attempts"), ("tool calls", "tool_calls"), ("tokens", "tokens"))


@dataclass(frozen=True, slots=True)
class Timeline:
    """One reading of a run. `now` is when it was made; `last_steps` shows no more than so many, the latest."""

    run: RunRecord
    steps: Sequence[StepRecord]
    now: datetime
    transitions: Sequence[Mapping[str, Any]] = ()
    full: bool = False
    last_steps: int | None = None
    interventions: Sequence[Mapping[str, Any]] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield Group(*self._head(width), Text(), *self._steps(width), *self._foot(width))

    def _head(self, width: int) -> list[RenderableType]:
        run = self.run
        status = f"{run.status}, {run.outcome}" if run.outcome and run.outcome != "complete" else run.status
        title = Text.assemble(("run ", "dim"), (run.run_id, "bold"), "  ", (status, STYLES.get(run.status, "")))
        about = [f"agent {run.agent} ({run.agent_version})", f"submitted {moment(run.created_at)}"]
        if run.started_at:
            about.append(f"took {between(run.started_at, run.finished_at)}" if run.finished_at else self._elapsed())
        lines: list[RenderableType] = [title, Text(" · ".join(about), style="dim")]
        if whose := self._whose():
            lines.append(Text(" · ".join(whose), style="dim"))
        used = packed(self._used(), width - _LABEL)
        lines.append(labelled("used", used, width, style="dim", full=True))
        lines.append(labelled("input", run.input, width, full=self.full))
        if self.full and run.scratchpad:
            lines.append(labelled("notes", run.scratchpad, width, full=True))
        return lines

    def _elapsed(self) -> str:
        return f"running for {between(self.run.started_at, self.now)}"

    def _whose(self) -> list[str]:
        run = self.run
        named = (("user", run.user_id), ("conversation", run.conversation_id), ("key", run.idempotency_key))
        whose = [f"{name} {one_line(value)}" for name, value in named if value]
        if run.not_before and not run.started_at:
            whose.append(f"not before {moment(run.not_before)}")
        if run.forked_from:
            own = "".join(f", {name} of its own" for name in run.overrides or ())
            whose.append(f"forked from {run.forked_from}{own}")
        return whose + ([f"flags {', '.join(run.flags)}"] if run.flags else [])

    def _used(self) -> list[str]:
        run, budget = self.run, self.run.budget or {}
        parts = [f"steps {_of(len(self.steps), budget.get('steps'))}"]
        parts += [f"{name} {_of(getattr(run, field), budget.get(field))}" for name, field in _CEILINGS]
        parts.append(f"cost {money(run.cost_usd)}" + _ceiling(budget.get("cost_usd"), money))
        if run.started_at:
            spent = ((run.finished_at or self.now) - run.started_at).total_seconds()
            parts.append(f"time {duration(spent)}" + _ceiling(budget.get("time_s"), duration))
        return parts

    def _steps(self, width: int) -> list[RenderableType]:
        if not self.steps:
            return [Text("  no step yet", style="dim")]
        shown = self.steps if self.last_steps is None else self.steps[-self.last_steps :]
        columns = Columns.of(shown, width)
        lines: list[RenderableType] = [Text(columns.heading(), style="dim")]
        if hidden := len(self.steps) - len(shown):
            lines.append(Text(f"  ... {hidden} earlier", style="dim"))
        model = None
        for step in shown:
            lines += step_lines(step, columns, self.now, STYLES, full=self.full, says_model=step.model != model)
            model = step.model or model
        return lines

    def _foot(self, width: int) -> list[RenderableType]:
        run = self.run
        lines: list[RenderableType] = [Text()]
        if run.waiting_reason and not run.is_final:
            lines.append(labelled("waits", self._waits(), width, style="yellow", full=self.full))
        lines += self._doubts(width)
        if run.stop_requested:
            lines.append(labelled("stop", run.stop_requested, width, style="yellow", full=self.full))
        if run.pause_requested and run.status != "paused":
            lines.append(labelled("pause", "asked for; what runs comes to its end", width, style="yellow"))
        if run.error:
            # A run that is done has an error where it came to its fallback.
            label, style = ("why", "yellow") if run.status == "done" else ("error", "red")
            lines.append(labelled(label, why_of(run.error), width, style=style, full=True))
        if run.compensation:
            style = "bold red" if run.compensation == "failed" else "yellow"
            lines.append(labelled("undone", undone_of(run), width, style=style, full=True))
        if run.status == "done" and not (run.outcome == "handoff" and run.result is None):
            lines.append(labelled("result", run.result, width, full=self.full))
        lines += history_lines(self.transitions, self.interventions, full=self.full)
        return lines if len(lines) > 1 else []

    def _doubts(self, width: int) -> list[RenderableType]:
        """Return what a person has to know of calls in doubt, and the commands that end the doubts."""
        doubts = doubts_of(self.steps)
        lines = [
            labelled("doubt", f"{each.step_index} {name_of(each)}: {last_moment_of(each, self.now)}", width, full=True)
            for each in doubts
        ]
        if doubts:
            commands = "\n".join(ways_out(self.run.run_id, doubts))
            lines += [labelled("then", commands, width, full=True), labelled("", _VARIANTS, width, full=True)]
        return lines

    def _waits(self) -> str:
        run = self.run
        if run.status == "waiting_human":
            asks = "" if doubts_of(self.steps) else f"; `agentflow approvals list --run {run.run_id}`"
            return f"for a person: {run.waiting_reason}{asks}"
        parked = [step for step in self.steps if step.status == "pending" and step.waiting_reason]
        if run.status != "waiting_tool" or not parked:
            return str(run.waiting_reason)
        first, more = parked[0], len(parked) - 1
        said = f"for {first.tool_name} (step {first.step_index}): {waits_of(first, self.now)}"
        return said + (f"; and {more} more step{'s' if more > 1 else ''}" if more else "")


def labelled(label: str, value: Any, width: int, *, style: str = "", full: bool = False) -> RenderableType:
    """Return a line of data with its label in front; cut to the width unless it is wanted in full."""
    head = f"{label:<{_LABEL - 1}} "
    if not full:
        return Text(head, style="dim", no_wrap=True, overflow="ellipsis").append(
            one_line(value)[: width * 2], style or "not dim"
        )
    return hanging(head, Text(whole(value), style=style))


def packed(parts: Sequence[str], width: int) -> str:
    """Return parts in as few lines as they need, none of them broken."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines else part
        lines[-1:] = [longer] if lines and len(longer) <= width else [*lines[-1:], part]
    return "\n".join(lines)


def _of(used: int, ceiling: Any) -> str:
    return f"{used:,}/{ceiling:,}" if ceiling is not None else f"{used:,}"


def _ceiling(value: Any, written: Any) -> str:
    return "" if value is None else f"/{written(value)}"


def undone_of(run: RunRecord) -> str:
    """Return what became of what a run did that did not end well."""
    if run.compensation == "failed":
        return f"failed: {(run.error or {}).get('compensation', 'what it did could not be undone')}"
    return "what it did was undone" if run.compensation == "done" else "no: what it did stays as it is"


def why_of(error: Any) -> str:
    """Return why a run ended as it did: its kind and its message."""
    if not isinstance(error, Mapping):
        return one_line(error)
    kind, message = error.get("kind") or error.get("reason"), error.get("message")
    said = ": ".join(str(part) for part in (kind, message) if part)
    return said or one_line(error)
