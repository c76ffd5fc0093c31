"""Owns how outcomes are shown on a terminal: the figures, the ratios, and what could not be measured."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.peers.outcomes import (
    KINDS,
    REFERENCES,
    Outcome,
    is_outcome,
    median_of,
    missing,
    names,
    of_floor,
    ratio,
    settings,
    split_of,
    values,
)  # fmt: skip

_BIG, _SMALL = 100, 10
_TIMES = ("p50_ms", "p95_ms", "foreign_cpu_share")
_COSTS = ("cpu_s_per_1000_steps",)
_PER_STEP = ("transactions_per_step", "wal_kb_per_step")


def show(console: Console, lines: Sequence[Outcome]) -> None:
    """Show medians by peer, ratios to the references, on what it was and how, and why a peer has no figures."""
    outcomes = [line for line in lines if is_outcome(line)]
    _show(console, ("", "steps/s", "lowest to highest", "alone: p50 ms", "p95 ms", "foreign CPU"), rate_rows(outcomes))
    cpu = ("", "CPU s per 1,000", *KINDS, "trans- actions", "WAL kB")
    _show(console, cpu, cost_rows(outcomes))
    used = [f"{reference}, CPU" for reference in REFERENCES]
    _show(console, ("ratios to", "floor", *REFERENCES, *used), ratio_rows(outcomes))
    for common in (line for line in lines if not is_outcome(line)):
        console.print(_named(common), markup=False)
    for name, words in [*settings(outcomes).items(), *missing(outcomes).items()]:
        console.print(f"{name}: {words}", markup=False)


def rate_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return a row for each peer: how fast it was, and how busy the machine was with anything else."""
    rows = []
    for name in names(outcomes):
        rates = values(outcomes, name, "steps_per_s")
        spread = f"{rounded(min(rates))} to {rounded(max(rates))}" if rates else ""
        rows.append(
            [name, rounded(median_of(outcomes, name, "steps_per_s")), spread, *_medians(outcomes, name, _TIMES)]
        )
    return rows


def cost_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return a row for each peer: what a step cost."""
    rows = []
    for name in names(outcomes):
        split = split_of(outcomes, name)
        shares = [rounded(split.get(kind)) for kind in KINDS]
        rows.append([name, *_medians(outcomes, name, _COSTS), *shares, *_medians(outcomes, name, _PER_STEP)])
    return rows


def ratio_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return a row of ratios for each peer."""
    return [
        [
            name,
            rounded(of_floor(outcomes, name)),
            *(rounded(ratio(outcomes, "steps_per_s", name, reference)) for reference in REFERENCES),
            *(rounded(ratio(outcomes, "cpu_s_per_1000_steps", name, reference)) for reference in REFERENCES),
        ]
        for name in names(outcomes)
    ]


def rounded(value: float | None) -> str:
    """Return a figure with about three digits; nothing where there is none."""
    if value is None:
        return ""
    if value >= _BIG:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= _SMALL else f"{value:.2f}"


def _named(common: Outcome) -> str:
    """Return what all have in common as names and values; a part of it has a line of its own."""
    plain = [f"{name} {value}" for name, value in common.items() if not isinstance(value, dict)]
    parts = [f"{name}: {_named(value)}" for name, value in common.items() if isinstance(value, dict)]
    return "\n".join([", ".join(plain), *parts])


def _medians(outcomes: Sequence[Outcome], name: str, figures: Sequence[str]) -> list[str]:
    return [rounded(median_of(outcomes, name, figure)) for figure in figures]


def _show(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
