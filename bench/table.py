"""Owns how figures are shown: one table and one more for each benchmark that compares forms, or lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

Found = Mapping[str, Sequence[Figure] | str]
"""Figures by benchmark; a text stands for one that gave none, and says why."""

_MET = {True: "met", False: "missed", None: ""}
_BIG, _SMALL = 100, 10


def show_table(console: Console, found: Found) -> None:
    """Show figures by benchmark; those that were taken in several forms by form."""
    console.print(_plain_table(found))
    for name, figures in found.items():
        compared = [] if isinstance(figures, str) else [figure for figure in figures if figure.form]
        if compared:
            console.print()
            console.print(_forms_table(name, compared))


def json_lines(found: Found) -> Iterator[str]:
    """Yield one JSON object per figure."""
    for name, figures in found.items():
        if isinstance(figures, str):
            yield json.dumps({"benchmark": name, "none_because": figures})
            continue
        for figure in figures:
            yield json.dumps({"benchmark": name, **figure.as_json()})


def rounded(value: float) -> str:
    """Write a value with as many digits as say something."""
    if isinstance(value, int) or value >= _BIG:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= _SMALL else f"{value:.2f}"


def _plain_table(found: Found) -> Table:
    table = Table("benchmark", "figure", box=None, pad_edge=False)
    for column in ("", "goal", ""):
        table.add_column(column, justify="right")
    for name, figures in found.items():
        table.add_section()
        if isinstance(figures, str):
            table.add_row(name, figures)
            continue
        for place, figure in enumerate(figure for figure in figures if not figure.form):
            table.add_row("" if place else name, figure.name, _with_unit(figure), figure.goal, _MET[figure.is_met])
    return table


def _forms_table(name: str, figures: Sequence[Figure]) -> Table:
    forms = list(dict.fromkeys(figure.form for figure in figures))
    cells = {(figure.name, figure.form): _with_goal(figure) for figure in figures}
    table = Table(name, box=None, pad_edge=False)
    for form in forms:
        table.add_column(form or "", justify="right")
    for row in _rows(figures):
        table.add_row(row, *(cells.get((row, form), "") for form in forms))
    return table


def _rows(figures: Sequence[Figure]) -> list[str]:
    """Return the names in their order; what only a later form has comes after what it has before that."""
    rows: list[str] = []
    before: dict[str | None, str] = {}
    for figure in figures:
        if figure.name not in rows:
            place = rows.index(before[figure.form]) + 1 if figure.form in before else len(rows)
            rows.insert(place, figure.name)
        before[figure.form] = figure.name
    return rows


def _with_unit(figure: Figure) -> str:
    return f"{rounded(figure.value)} {figure.unit}".rstrip()


def _with_goal(figure: Figure) -> str:
    goal = f" ({figure.goal}: {_MET[figure.is_met]})" if figure.goal else ""
    return f"{_with_unit(figure)}{goal}"
