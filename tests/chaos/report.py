"""Owns the table that a chaos ends in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from tests.chaos.healing import GOAL_S as HEALED_S
from tests.chaos.outcome import Outcome
from tests.chaos.recovery import GOAL_S as RECOVERED_S
from tests.chaos.recovery import Wait, percentile

_GROUPS = ("effects", "endings", "histories", "budgets", "outbox", "rest", "doubts", "reading")
_MOST_SHOWN = 20

Line = tuple[str, str, str]


def show(console: Console, outcome: Outcome) -> None:
    """Show the table, and below it what is wrong."""
    table = Table("", "what", "figure", box=None, pad_edge=False)
    for lines in (_runs(outcome), _faults(outcome), _figures(outcome), _recovery(outcome), _verdict(outcome)):
        table.add_section()
        for line in lines:
            table.add_row(*line)
    console.print(table)
    for wrong in _wrong(outcome):
        console.print(wrong, markup=False, soft_wrap=True)


def _runs(outcome: Outcome) -> Iterator[Line]:
    total = sum(count for found in outcome.runs.values() for count in found.values())
    yield "runs", "all", str(total)
    for kind, found in outcome.runs.items():
        yield "", kind, ", ".join(f"{count} {status}" for status, count in sorted(found.items()))


def _faults(outcome: Outcome) -> Iterator[Line]:
    yield "faults", "all", str(sum(outcome.faults.values()))
    for kind, count in outcome.faults.items():
        yield "", kind, str(count)
    for kind in outcome.never:
        yield "", kind, "could not be done"


def _figures(outcome: Outcome) -> Iterator[Line]:
    for place, (name, count) in enumerate(outcome.figures.items()):
        yield "" if place else "steps", name, str(count)


def _recovery(outcome: Outcome) -> Iterator[Line]:
    alone = [wait for wait in outcome.waits if wait.alone]
    yield "runs again after a worker's kill", "nothing else wrong", _spread(alone, goal=True)
    for effect in sorted({wait.effect for wait in alone}):
        yield "", f"  {effect}", _spread([wait for wait in alone if wait.effect == effect])
    yield "", "whatever else was wrong", _spread(outcome.waits)


def _verdict(outcome: Outcome) -> Iterator[Line]:
    met = "met" if outcome.rest.seconds <= HEALED_S and not outcome.rest.moving else "missed"
    yield "after healing", "all at rest", f"{outcome.rest.seconds:.1f} s (goal {HEALED_S:g} s: {met})"
    yield "", "runs that ended otherwise than without faults", str(len(outcome.surprises))
    yield "", "all slots free", f"{outcome.rest.slots_s:.1f} s"
    by_group = Counter(violation.group for violation in outcome.violations)
    for number, name in enumerate(_GROUPS, start=1):
        yield "violations" if number == 1 else "", f"{number} {name}", str(by_group[number])
    differences = "not here" if outcome.differences is None else str(len(outcome.differences))
    yield "", "airline, not as recorded", differences


def _spread(waits: Sequence[Wait], *, goal: bool = False) -> str:
    if not waits:
        return "none was held"
    seconds = [wait.seconds for wait in waits]
    said = f"p50 {percentile(seconds, 0.5):.1f} s, p99 {percentile(seconds, 0.99):.1f} s, max {max(seconds):.1f} s"
    met = "met" if percentile(seconds, 0.99) < RECOVERED_S else "missed"
    return f"{said}, of {len(seconds)}" + (f" (goal p99 {RECOVERED_S:g} s: {met})" if goal else "")


def _wrong(outcome: Outcome) -> Iterator[str]:
    found = [
        *(f"group {each.group}: {each.subject}: {each.what}" for each in outcome.violations),
        *(f"airline: {each}"[:500] for each in outcome.differences or ()),
        *(f"not at rest: {each}" for each in outcome.rest.moving),
    ]
    yield from found[:_MOST_SHOWN]
    if len(found) > _MOST_SHOWN:
        yield f"and {len(found) - _MOST_SHOWN} more, in outcome.json"
