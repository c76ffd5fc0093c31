"""Owns the drawings: bar charts as SVG, written by hand, for a browser or a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.table import rounded

_WIDTH, _BAR, _GAP, _TOP, _MARGIN = 760, 22, 10, 44, 16
_LABELS, _VALUES = 260, 110
_FONT = "font-family='system-ui, sans-serif' font-size='13'"

Bar = tuple[str, float]


def bars(title: str, values: Sequence[Bar], unit: str) -> str:
    """Return an SVG image of one horizontal bar per label, the longest over the whole width."""
    height = _TOP + len(values) * (_BAR + _GAP) + _MARGIN
    longest = max((value for _, value in values), default=0.0)
    rows = [_bar(place, bar, unit, longest) for place, bar in enumerate(values)]
    head = f"<text x='{_MARGIN}' y='26' font-weight='bold'>{escape(title)}</text>"
    return _svg(height, [head, *rows])


def page(images: Sequence[str]) -> str:
    """Return one SVG image with the others below each other."""
    placed, top = [], 0
    for image in images:
        placed.append(image.replace("<svg ", f"<svg y='{top}' ", 1))
        top += _height(image)
    return _svg(top, placed)


def _bar(place: int, bar: Bar, unit: str, longest: float) -> str:
    label, value = bar
    top = _TOP + place * (_BAR + _GAP)
    most = _WIDTH - 2 * _MARGIN - _LABELS - _VALUES
    length = most * value / longest if longest > 0 else 0.0
    text_y, start = top + _BAR - 6, _MARGIN + _LABELS
    return (
        f"<text x='{start - 8}' y='{text_y}' text-anchor='end'>{escape(label)}</text>"
        f"<rect x='{start}' y='{top}' width='{max(length, 1):.1f}' height='{_BAR}' fill='#4878a8'/>"
        f"<text x='{start + max(length, 1) + 6:.1f}' y='{text_y}'>{escape(f'{rounded(value)} {unit}'.strip())}</text>"
    )


def _svg(height: int, parts: Sequence[str]) -> str:
    size = f"width='{_WIDTH}' height='{height}' viewBox='0 0 {_WIDTH} {height}'"
    ground = f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>"
    return "\n".join([f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>", ground, *parts, "</svg>"])


def _height(image: str) -> int:
    return int(image.split("height='", 1)[1].split("'", 1)[0])
