"""Owns what an act of the monkey works on: the stack, what of it is broken just now, and what it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.chaos.plan import Act
from tests.chaos.stack import Stack

T = TypeVar("T")


class NothingToBreak(Exception):
    """What the act would break is broken already, or is not there just now."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A fault that has begun: what it hit, and what takes it back; an instant has nothing to take back."""

    target: str
    take_back: Callable[[], object] | None = None


@dataclass(slots=True)
class Scene:
    """The stack, and what of it is broken just now."""

    stack: Stack
    broken: set[str] = field(default_factory=set)

    def choose(self, act: Act, among: Sequence[str]) -> str:
        """Return one of those that are whole."""
        return chosen(act, [each for each in among if each not in self.broken])

    def take(self, target: str) -> str:
        """Return the target where it is whole."""
        if target in self.broken:
            raise NothingToBreak
        return target


def chosen(act: Act, among: Sequence[T]) -> T:
    """Return what the act's draw falls on."""
    if not among:
        raise NothingToBreak
    return among[int(act.pick * len(among))]
