"""Owns how the demo is told: one line per event, with the seconds since the beginning."""

from __future__ import annotations

import time

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDEST = 110


class Story:
    """Tells what happens as it happens."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._console.width = min(self._console.width, _WIDEST)
        self._began = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """Tell one event."""
        line = Table.grid(padding=(0, 2))
        line.add_column(justify="right", width=6, style="dim", no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(f"{time.monotonic() - self._began:.1f} s", Text.from_markup(text, style=style))
        self._console.print(line)

    def head(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(Text(text, style="bold"))
        self._console.print()

    def show(self, what: RenderableType) -> None:
        """Show a table or a text."""
        self._console.print(Padding(what, (0, 0, 0, 2)))
