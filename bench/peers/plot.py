"""Draws outcomes as SVG: rates with their spread, and CPU by what used it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

from bench.peers.outcomes import KINDS, Outcome, median_of, names, split_of, values
from bench.peers.table import rounded

_ROW, _BAR, _TOP = 26, 16, 56
_LABELS, _BARS, _NUMBERS = 130, 300, 70
_PANEL = _BARS + _NUMBERS
_WIDTH = _LABELS + 2 * _PANEL
_RATE_COLOUR = "#4c78a8"
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
)
_COLOURS = dict(zip(KINDS, ("#72b7b2", "#f58518", "#54a24b", "#e45756"), strict=True))


def draw(outcomes: Sequence[Outcome]) -> str:
    """Return the drawing: a row for each peer that has figures."""
    shown = [name for name in names(outcomes) if values(outcomes, name, "steps_per_s")]
    height = _TOP + _ROW * len(shown) + 10
    parts = [
        _HEAD.format(width=_WIDTH, height=height),
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(_LABELS, 20, "steps per second"),
        _text(_LABELS + _PANEL, 20, "CPU seconds per 1,000 steps"),
        *_legend(),
        *(_text(0, _TOP + _ROW * place + 13, name) for place, name in enumerate(shown)),
        *_rates(outcomes, shown),
        *_costs(outcomes, shown),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rates(outcomes: Sequence[Outcome], shown: Sequence[str]) -> Iterator[str]:
    all_ = [values(outcomes, name, "steps_per_s") for name in shown]
    scale = _BARS / max((max(rates) for rates in all_), default=1.0)
    for place, (name, rates) in enumerate(zip(shown, all_, strict=True)):
        top, rate = _TOP + _ROW * place, median_of(outcomes, name, "steps_per_s") or 0.0
        yield _bar(_LABELS, top, rate * scale, _RATE_COLOUR, f"{name}: {rounded(rate)} steps per second")
        left, right = (_LABELS + end * scale for end in (min(rates), max(rates)))
        middle = top + _BAR / 2
        yield f'<line x1="{left:.1f}" y1="{middle}" x2="{right:.1f}" y2="{middle}" stroke="black"/>'
        yield _text(right + 6, top + 13, rounded(rate))


def _costs(outcomes: Sequence[Outcome], shown: Sequence[str]) -> Iterator[str]:
    splits = [split_of(outcomes, name) for name in shown]
    scale = _BARS / max((sum(split.values()) for split in splits), default=1.0)
    for place, (name, split) in enumerate(zip(shown, splits, strict=True)):
        top, start = _TOP + _ROW * place, _LABELS + _PANEL
        ends = list(accumulate(split.values()))
        for kind, spent, end in zip(split, split.values(), ends, strict=True):
            title = f"{name}, {kind}: {rounded(spent)} s"
            yield _bar(start + (end - spent) * scale, top, spent * scale, _COLOURS[kind], title)
        yield _text(start + ends[-1] * scale + 6, top + 13, rounded(ends[-1]))


def _legend() -> Iterator[str]:
    for place, (kind, colour) in enumerate(_COLOURS.items()):
        left = _LABELS + _PANEL + place * 80
        yield _bar(left, 32, 10, colour, kind)
        yield _text(left + 14, 45, kind)


def _bar(left: float, top: float, width: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(width, 0.0):.1f}" height="{_BAR}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _text(left: float, top: float, text: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}">{escape(text)}</text>'
