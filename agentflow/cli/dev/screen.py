"""What `agentflow dev` writes: its children's lines with their names in front, and its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from agentflow.cli.output import console

_COLOURS = ("36", "35", "33", "34", "32", "96", "95")
OWN = "dev"


class Screen:
    """Writes whole lines, from any thread; coloured on a terminal, plain in a pipe."""

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._width = max(map(len, [OWN, *names]))
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
        self._coloured = console().color_system is not None

    @property
    def coloured(self) -> bool:
        """Whether colours are shown."""
        return self._coloured

    def hear(self, name: str, line: str) -> None:
        """Write a child's line."""
        self._write(f"{self._front(name)} {line}")

    def say(self, line: str) -> None:
        """Write a line of dev's own."""
        self._write(f"{self._front(OWN)} {line}")

    def show(self, *lines: str) -> None:
        """Write several lines of dev's own, with nothing in front."""
        self._write("\n".join(["", *lines, ""]))

    def bold(self, text: str) -> str:
        """Return a text that stands out on a terminal."""
        return f"\x1b[1m{text}\x1b[0m" if self._coloured else text

    def _front(self, name: str) -> str:
        front = f"{name:<{self._width}} |"
        return f"\x1b[{self._colours.get(name, '1')}m{front}\x1b[0m" if self._coloured else front

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
            except OSError:
                # Nobody reads any more, or the terminal is gone; the end of dev comes with its own signal.
                return
