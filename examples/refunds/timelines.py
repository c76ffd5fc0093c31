"""Owns the runs' timelines on one axis of time: a row per run, a letter per step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from agentflow.domain.step import COMPENSATE, MODEL, VERIFY
from examples.refunds.desk import Case

_LETTERS = {
    MODEL: "m",
    "lookup_order": "l",
    "check_refund_policy": "p",
    "send_customer_email": "e",
    "issue_refund": "R",
    "wire_refund": "W",
    VERIFY: "v",
    "place_order": "o",
    "charge_card": "c",
    "send_confirmation": "e",
    COMPENSATE: "u",
}
_LOST, _REFUSED, _DOUBTFUL, _PERSON, _WAITING, _NOTHING = "x", "!", "?", "a", "·", " "
_STYLES = {
    "m": "cyan",
    "l": "blue",
    "p": "blue",
    "e": "magenta",
    "R": "bold green",
    "W": "bold green",
    "v": "blue",
    "o": "bold green",
    "c": "bold green",
    "u": "bold magenta",
    _LOST: "bold red",
    _REFUSED: "bold yellow",
    _DOUBTFUL: "bold yellow",
    _PERSON: "yellow",
    _WAITING: "dim",
}
_LEGEND = (
    ("m", "model"),
    ("l", "lookup_order"),
    ("p", "check_refund_policy"),
    ("R", "issue_refund"),
    ("W", "wire_refund"),
    ("e", "e-mail written"),
    ("o", "place_order"),
    ("c", "charge_card"),
    ("u", "undone"),
    (_LOST, "lost with the worker"),
    (_REFUSED, "failed, tried again"),
    (_DOUBTFUL, "no answer: in doubt"),
    ("v", "verified"),
    (_PERSON, "a person is asked"),
    (_WAITING, "waiting"),
)
_ANOTHER_TRY = {"lost": _LOST, "retried": _REFUSED, "in_doubt": _DOUBTFUL}
# Where several steps share a cell, the rarer one is shown.
_RANK = "·amlpveocRWu!?x"


@dataclass(frozen=True, slots=True)
class Timelines:
    """All runs between two moments."""

    cases: Sequence[Case]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width - 17
        start = min(case.run.created_at for case in self.cases)
        end = max(case.run.finished_at or case.run.created_at for case in self.cases)
        axis = Axis(start, max((end - start).total_seconds(), 0.1), width)
        for case in self.cases:
            row = Text(no_wrap=True).append(f"{case.customer.name:8}", "bold")
            for letter, cells in groupby(axis.draw(case)):
                row.append("".join(cells), _STYLES.get(letter, ""))
            yield row.append(f" {axis.seconds_to(case.run.finished_at or end):6.1f} s")
        yield Text()
        legend = [Text.assemble((letter, _STYLES[letter]), f" {name}") for letter, name in _LEGEND]
        yield Columns(legend, padding=(0, 3))


@dataclass(frozen=True, slots=True)
class Axis:
    """A span of time in so many cells."""

    start: datetime
    span_s: float
    cells: int

    def seconds_to(self, moment: datetime) -> float:
        """Return how long after the start a moment is."""
        return (moment - self.start).total_seconds()

    def draw(self, case: Case) -> str:
        """Return a run as one character per cell."""
        drawn = [_NOTHING] * self.cells
        finished_at = case.run.finished_at or case.run.created_at
        spans = [(case.run.created_at, finished_at, _WAITING), *_attempts(case, finished_at)]
        for since, until, letter in spans:
            for cell in range(self._cell(since), self._cell(until) + 1):
                if drawn[cell] == _NOTHING or _RANK.index(letter) > _RANK.index(drawn[cell]):
                    drawn[cell] = letter
        return "".join(drawn)

    def _cell(self, moment: datetime) -> int:
        return min(self.cells - 1, int(self.seconds_to(moment) / self.span_s * self.cells))


def _attempts(case: Case, finished_at: datetime) -> Iterator[tuple[datetime, datetime, str]]:
    for step in case.steps:
        if step.person:
            yield step.created_at, step.tries[0]["started_at"] if step.tries else finished_at, _PERSON
        for each in step.tries:
            letter = _ANOTHER_TRY.get(each["status"], _LETTERS[step.tool_name])
            yield each["started_at"], each["ended_at"] or finished_at, letter
