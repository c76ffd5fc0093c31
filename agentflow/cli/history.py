"""What happened to a run in the course of time: its changes of status, and what people did to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from agentflow.cli.figures import duration, one_line

_LATEST = 12


def history_lines(
    transitions: Sequence[Mapping[str, Any]], interventions: Sequence[Mapping[str, Any]], *, full: bool = False
) -> list[RenderableType]:
    """Return a line for each change and each act of a person, in order; the latest alone unless all are wanted."""
    told = [(row["at"], change_of(row), "dim") for row in transitions]
    told += [(row["at"], act_of(row), "not dim") for row in interventions]
    if not told:
        return []
    told.sort(key=lambda each: each[0])
    first, rows = told[0][0], told if full else told[-_LATEST:]
    lines: list[RenderableType] = [Text(), Text("history", style="dim")]
    if hidden := len(told) - len(rows):
        lines.append(Text(f"  ... {hidden} earlier (--full shows them)", style="dim"))
    for at, words, style in rows:
        since = duration((at - first).total_seconds())
        lines.append(Text(f"  {'+' + since:>10}  {words}", style=style, no_wrap=not full, overflow="ellipsis"))
    return lines


def change_of(row: Mapping[str, Any]) -> str:
    """Return a change of a run's status, and why it changed."""
    change = row["new"] if row["old"] is None else f"{row['old']} -> {row['new']}"
    why = row["reason"] + ("" if row["step_index"] is None else f", step {row['step_index']}")
    return f"{change}  ({why})"


def act_of(row: Mapping[str, Any]) -> str:
    """Return what a person did to a run, who it was, and why."""
    details = row["details"] or {}
    what = f"{row['act']}: {details['resolution']}" if "resolution" in details else row["act"]
    where = "" if row["step_index"] is None else f", step {row['step_index']}"
    to = f", to {details['to']}" if "to" in details else ""
    why = f": {one_line(row['reason'])}" if row["reason"] else ""
    return f"{what}{where}{to}, by {one_line(row['done_by'])}{why}"
