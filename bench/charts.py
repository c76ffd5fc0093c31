"""Owns which figures are drawn: what the forms of the steps are compared by."""

from __future__ import annotations

from bench.plot import bars, page
from bench.step_figures import CPU, RATE
from bench.table import Found

_DRAWN = (RATE, CPU)


def draw(found: Found) -> str:
    """Return an SVG image: a chart for each figure that is drawn, with a bar for each form."""
    all_ = [figure for figures in found.values() if not isinstance(figures, str) for figure in figures]
    charts = []
    for name in _DRAWN:
        drawn = [figure for figure in all_ if figure.name == name and figure.form]
        if drawn:
            charts.append(bars(name, [(figure.form or "", figure.value) for figure in drawn], drawn[0].unit))
    return page(charts)
