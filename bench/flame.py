"""Owns the flame graph of a profile: an SVG image, widths as shares of the samples; the pointer tells the names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from bench.samples import Samples, is_own

_WIDTH, _ROW, _TOP, _LETTER = 1600, 17, 34, 6.6
# Narrower ones nobody can see.
_NARROWEST = 0.6
_OWN_COLOUR, _OTHER_COLOUR = "#e8853b", "#e9c46a"


@dataclass(slots=True)
class _Frame:
    name: str
    count: int = 0
    inner: dict[str, _Frame] = field(default_factory=dict)


def flame_graph(title: str, samples: Samples) -> str:
    """Return the image of the samples: the outermost functions above, agentflow's own in a colour of their own."""
    root = _Frame("all")
    for stack, count in samples.stacks.items():
        _add(root, stack, count)
    root = _branching(root)
    boxes = list(_boxes(root, 0, 0.0, _WIDTH / max(root.count, 1)))
    height = _TOP + (1 + max((depth for depth, _ in boxes), default=0)) * _ROW + 8
    head = f"<text x='8' y='20' font-size='14' font-weight='bold'>{escape(f'{title}: {root.count} samples')}</text>"
    size = f"width='{_WIDTH}' height='{height}' viewBox='0 0 {_WIDTH} {height}'"
    opening = f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='monospace' font-size='11'>"
    ground = f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>"
    return "\n".join([opening, ground, head, *(box for _, box in boxes), "</svg>"])


def _add(root: _Frame, stack: tuple[str, ...], count: int) -> None:
    root.count += count
    for name in stack:
        root = root.inner.setdefault(name, _Frame(name))
        root.count += count


def _branching(frame: _Frame) -> _Frame:
    """Return the innermost frame that all samples have: the way there is the same for all of them."""
    inner = list(frame.inner.values())
    return _branching(inner[0]) if len(inner) == 1 and inner[0].count == frame.count else frame


def _boxes(frame: _Frame, depth: int, left: float, scale: float) -> Iterator[tuple[int, str]]:
    width = frame.count * scale
    if width < _NARROWEST:
        return
    yield depth, _box(frame, depth, left, width)
    for inner in sorted(frame.inner.values(), key=lambda each: each.name):
        yield from _boxes(inner, depth + 1, left, scale)
        left += inner.count * scale


def _box(frame: _Frame, depth: int, left: float, width: float) -> str:
    top = _TOP + depth * _ROW
    colour = _OWN_COLOUR if is_own(frame.name) else _OTHER_COLOUR
    letters = int((width - 4) / _LETTER)
    text = f"<text x='{left + 2:.1f}' y='{top + 12}'>{escape(frame.name[:letters])}</text>" if letters > 2 else ""
    told = f"<title>{escape(f'{frame.name}: {frame.count} samples, {width / _WIDTH:.1%}')}</title>"
    shape = f"x='{left:.1f}' y='{top}' width='{width:.1f}' height='{_ROW - 1}' fill='{colour}'"
    return f"<g>{told}<rect {shape}/>{text}</g>"
