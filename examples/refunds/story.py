"""Owns how the demo is told: one line per event, with the seconds since the beginning."""

from __future__ import annotations

import time

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDEST = 110
_INDENT = 2
# Below what is said, whose time stands before it.
_PRINTED = 9


class Story:
    """Tells what happens as it happens."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, emoji=False)
        self.console.width = min(self.console.width, _WIDEST)
        self._began = time.monotonic()

    def title(self, text: str, style: str = "bold") -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Text(text, style=style))
        self.console.print()

    def say(self, markup: str, style: str = "") -> None:
        """Tell one event."""
        line = Table.grid(padding=(0, 2))
        line.add_column(justify="right", width=7, style="dim", no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(self._now(), Text.from_markup(markup, style=style))
        self.console.print(line)

    def tell(self, who: str, what: str, note: str = "", style: str = "") -> None:
        """Tell what became of somebody: one line, cut to the width."""
        self._line(self._now(), who, what, note, style)

    def add(self, who: str, what: str, note: str = "") -> None:
        """Tell more of the event that was told last: one line, cut to the width."""
        self._line("", who, what, note)

    def _line(self, moment: str, who: str, what: str, note: str, style: str = "") -> None:
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(justify="right", width=7, style="dim", no_wrap=True)
        line.add_column(width=6, style=f"bold {style}")
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        line.add_column(style="dim", no_wrap=True)
        line.add_row(moment, who, Text(what), note)
        self.console.print(line)

    def _now(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def show(self, what: RenderableType) -> None:
        """Show a table or a text."""
        self.console.print(Padding(what, (0, 0, 0, _INDENT)))

    def show_terminal(self, command: str, printed: str) -> None:
        """Show a command as it was typed, and what it printed."""
        self.say(f"[bold]$ {escape(command)}[/]")
        self.console.print(Padding(Text(printed.rstrip(), style="dim"), (0, 0, 0, _PRINTED)))

    def suggest(self, command: str) -> None:
        """Name a command, unbroken, to be copied."""
        self.console.print(f"    {escape(command)}", soft_wrap=True)

    def complain(self, *faults: str) -> None:
        """Say why the demo failed."""
        self.title("The demo failed", "bold red")
        for fault in faults:
            self.console.print(f"  {escape(fault)}", soft_wrap=True)


def dollars(cents: int) -> str:
    """Return an amount of money as people write it."""
    return f"${cents / 100:,.2f}"


def shortened(text: str, most: int = 240) -> str:
    """Return text of any length as one line."""
    line = " ".join(text[: most * 2].split())
    return line if len(line) <= most else line[: most - 1] + "…"
