"""Owns how figures are shown: one table, or a line of JSON for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

_MET = {True: "met", False: "missed", None: ""}
_BIG, _SMALL = 100, 10


def show_table(console: Console, found: Mapping[str, Sequence[Figure] | str]) -> None:
    """Show figures by benchmark; a text stands for one that gave none, and says why."""
    table = Table("benchmark", "figure", box=None, pad_edge=False)
    for column in ("", "goal", ""):
        table.add_column(column, justify="right")
    for name, figures in found.items():
        table.add_section()
        if isinstance(figures, str):
            table.add_row(name, figures)
            continue
        for place, figure in enumerate(figures):
            goal = "" if figure.below is None else f"< {figure.below:g} {figure.unit}"
            title = "" if place else name
            table.add_row(title, figure.name, f"{_rounded(figure.value)} {figure.unit}", goal, _MET[figure.is_met])
    console.print(table)


def show_json(found: Mapping[str, Sequence[Figure] | str]) -> None:
    """Write one JSON object per figure."""
    for name, figures in found.items():
        if isinstance(figures, str):
            print(json.dumps({"benchmark": name, "none_because": figures}))
            continue
        for figure in figures:
            print(json.dumps({"benchmark": name, **figure.as_json()}))


def _rounded(value: float) -> str:
    if isinstance(value, int) or value >= _BIG:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= _SMALL else f"{value:.2f}"
