"""Owns how large a load is: what the command line may change."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Size:
    """Rounds of a burst of runs and of single ones; `processes` are the default pool's, as configured where None."""

    runs: int = 400
    alone: int = 30
    rounds: int = 3
    processes: int | None = None

    @classmethod
    def read(cls, asked: argparse.Namespace) -> Self:
        """Return what a command line asks for."""
        return cls(asked.runs, asked.alone, asked.rounds, asked.processes)

    @property
    def concurrency(self) -> dict[str, int]:
        """The stack's pools whose size is not the configured one."""
        return {} if self.processes is None else {"default": self.processes}


def add_size(parser: argparse.ArgumentParser) -> None:
    """Let a command line say how large the load of the steps is."""
    usual = Size()
    parser.add_argument("--runs", type=_count, default=usual.runs, help="steps: runs in a burst (%(default)s)")
    parser.add_argument("--alone", type=_count, default=usual.alone, help="steps: runs alone in a round (%(default)s)")
    parser.add_argument("--rounds", type=_count, default=usual.rounds, help="steps: how often (%(default)s)")
    parser.add_argument("--processes", type=_count, help="steps: processes of the default pool (as configured)")


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number above zero")
    return int(word)
