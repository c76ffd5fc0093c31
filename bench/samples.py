"""Owns what a profiler's samples say: collapsed stacks, a line each, `thread;outermost;...;innermost COUNT`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

Stack = tuple[str, ...]
Share = tuple[str, float]

_OWN = re.compile(r"\((?:.*/)?(?:agentflow|tasks|config)/[^)]*\)$")
_PACKAGE = re.compile(r"\((?:.*site-packages/)?(?P<package>[\w.]+)[/):]")
# A heartbeat every other second is little beside the waiting for the next one.
_STILL = 0.97
_EVERYWHERE = 0.995
_OUTSIDE = "(nothing of agentflow)"


@dataclass(frozen=True, slots=True)
class Samples:
    """How often each stack was seen."""

    stacks: Mapping[Stack, int]

    @classmethod
    def read(cls, raw: str) -> Self:
        """Return the samples of collapsed stacks."""
        threads: dict[str, Counter[Stack]] = {}
        for line in raw.splitlines():
            frames, _, count = line.rpartition(" ")
            thread, *stack = frames.split(";")
            if stack and count.isdecimal():
                threads.setdefault(thread, Counter())[tuple(stack)] += int(count)
        moving = (stacks for stacks in threads.values() if _moves(stacks))
        return cls(sum(moving, Counter()))

    @property
    def total(self) -> int:
        """How many samples there are."""
        return sum(self.stacks.values())

    def by_function(self) -> list[Share]:
        """Return the share of the samples by the innermost function, the largest first."""
        return self._shares(lambda stack: stack[-1])

    def by_package(self) -> list[Share]:
        """Return the share by the package of the innermost function; Python's own go by their module's file."""
        return self._shares(lambda stack: _package(stack[-1]))

    def by_own_function(self) -> list[Share]:
        """Return the share by the innermost function of agentflow: what it called outside counts as its own."""
        return self._shares(lambda stack: next((frame for frame in reversed(stack) if is_own(frame)), _OUTSIDE))

    def by_own_reach(self) -> list[Share]:
        """Return the share of the samples in which each function of agentflow was at work or waited for an answer."""
        counted: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            counted.update(dict.fromkeys(filter(is_own, stack), count))
        shares = ((name, count / self.total) for name, count in counted.most_common())
        # What all samples have in common is the way into the program.
        return [(name, share) for name, share in shares if share < _EVERYWHERE]

    def _shares(self, key: Callable[[Stack], str]) -> list[Share]:
        counted: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            counted[key(stack)] += count
        return [(name, count / self.total) for name, count in counted.most_common()]


def _moves(stacks: Counter[Stack]) -> bool:
    """Whether a thread was seen to do anything but wait in one place, or hardly anything."""
    return max(stacks.values()) <= _STILL * stacks.total()


def is_own(frame: str) -> bool:
    """Whether a frame is of agentflow's own code."""
    return bool(_OWN.search(frame))


def _package(frame: str) -> str:
    if is_own(frame):
        return "agentflow"
    found = _PACKAGE.search(frame)
    return found["package"] if found else frame
