"""The steps of a timeline: one line each in columns, and below it what went in, came out, went wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agentflow.cli.doubts import name_of
from agentflow.cli.figures import between, money, one_line, whole
from agentflow.cli.tries import tries_of, waits_of
from agentflow.store.reads import StepRecord

_INDENT = 5
_LONGEST_NAME = 28
_GOES_ON = {"pending", "running"}
_STATUS, _TRIES, _TOOK, _TOKENS, _COST = 8, 5, 9, 8, 10


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a run's steps, as wide as they have to be."""

    name: int
    total: int

    @classmethod
    def of(cls, steps: Sequence[StepRecord], total: int) -> Columns:
        """Return the columns that the steps need within a total width."""
        longest = max((len(name_of(step)) for step in steps), default=4)
        room = total - (_INDENT + _STATUS + _TRIES + _TOOK + _TOKENS + _COST + 6)
        return cls(max(4, min(longest, _LONGEST_NAME, room)), total)

    def heading(self) -> str:
        """Return the line above the steps."""
        return self._row("#", "step", "status", "tries", "took", "tokens", "cost")

    def row(self, step: StepRecord, now: datetime) -> str:
        """Return a step's line."""
        name = name_of(step)
        name = name if len(name) <= self.name else f"{name[: self.name - 1]}…"
        tokens = (step.prompt_tokens or 0) + (step.completion_tokens or 0)
        return self._row(
            str(step.step_index),
            name,
            step.status,
            str(step.attempt),
            _took(step, now),
            f"{tokens:,}" if step.model else "",
            money(step.cost_usd),
        )

    def _row(self, index: str, name: str, status: str, tries: str, took: str, tokens: str, cost: str) -> str:
        return (
            f"{index:>3}  {name:<{self.name}} {status:<{_STATUS}} {tries:>{_TRIES}} {took:>{_TOOK}} "
            f"{tokens:>{_TOKENS}} {cost:>{_COST}}"
        ).rstrip()


def step_lines(
    step: StepRecord,
    columns: Columns,
    now: datetime,
    styles: Mapping[str, str],
    *,
    full: bool = False,
    says_model: bool = True,
) -> list[RenderableType]:
    """Return a step's line and the lines below it."""
    row = columns.row(step, now)
    line = Text(row, no_wrap=True, overflow="crop")
    start = _INDENT + columns.name + 1
    line.stylize("bold", _INDENT, start)
    details = [each for each in _details(step, now, full=full) if says_model or each[0] != "by"]
    line.stylize(styles.get(step.status, ""), start, start + _STATUS)
    return [line, *(_detail(label, value, style, full=full) for label, value, style in details)]


def _details(step: StepRecord, now: datetime, *, full: bool) -> Iterator[tuple[str, Any, str]]:
    if step.model:
        yield "by", step.model, "dim"
    if step.input not in ({}, None):
        yield "in", step.input, ""
    if step.status == "ok" and not step.tries and step.business_key:
        yield "key", f"{step.idempotency_key} was used before: that call's answer, nothing was called", "yellow"
    yield from ((label, value, "yellow") for label, value in tries_of(step, full=full))
    if step.status == "ok":
        yield from ((label, value, "") for label, value in answers(step))
    # Of a step that goes on, the error is its last attempt's, which is told above.
    if step.error and step.status not in _GOES_ON:
        yield "error", _error(step), "red"
    if waits := waits_of(step, now):
        yield "waits", waits, "yellow"


def answers(step: StepRecord) -> Iterator[tuple[str, Any]]:
    """Return what a step came to, each part with its label: a tool's output; what a model says and calls."""
    if step.tool_name != "model" or not isinstance(step.output, Mapping):
        yield "out", step.output
        return
    if step.output.get("content"):
        yield "says", step.output["content"]
    for call in step.output.get("tool_calls") or ():
        yield "calls", f"{call.get('name')}({call.get('arguments')})"


def _detail(label: str, value: Any, style: str, *, full: bool) -> RenderableType:
    head = f"{' ' * _INDENT}{label:<5} "
    if not full:
        return Text(head, style="dim", no_wrap=True, overflow="ellipsis").append(one_line(value), style or "not dim")
    body = whole(value)
    return hanging(head, Text(body, style=style))


def hanging(head: str, body: Text) -> RenderableType:
    """Return a text in full, each of its lines to the right of its label."""
    row = Table.grid(padding=0)
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(head, style="dim"), body)
    return row


def _took(step: StepRecord, now: datetime) -> str:
    started = step.tries[0]["started_at"] if step.tries else None
    if step.status == "running":
        return between(started, now)
    return between(started, step.finished_at or (step.tries[-1]["ended_at"] if step.tries else None))


def _error(step: StepRecord) -> str:
    if not isinstance(step.error, Mapping):
        return one_line(step.error)
    said = f"{step.error.get('kind')}: {step.error.get('message')}"
    happened = step.error.get("happened", False)
    return said if happened is False else f"{said} (it {'happened' if happened else 'may have happened'})"
