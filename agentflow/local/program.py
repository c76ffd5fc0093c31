"""Owns what is known of a server's executable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """A server's executable, and the version that it says it is: `18.6`, `19beta1`."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        """The number in front."""
        digits = "".join(letter if letter.isdigit() else " " for letter in self.version)
        return int(digits.split()[0])
