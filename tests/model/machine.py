"""What the explorer asks of a machine, and a move of one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple, Protocol


class Move(NamedTuple):
    """Something that may happen next. A fault (`is_fault`) may happen, but nothing may depend on it."""

    name: str
    state: Any
    is_fault: bool = False


class Machine(Protocol):
    """A machine; its states are hashable values."""

    def start(self) -> Hashable:
        """Return the state that everything begins with."""
        ...

    def moves(self, state: Any) -> Iterable[Move]:
        """Return all that may happen in a state."""
        ...

    def broken(self, state: Any) -> str | None:
        """Return what must not be so in a state, or None."""
        ...

    def is_end(self, state: Any) -> bool:
        """Answer whether all is done in a state, or waits for a person."""
        ...


def replaced(items: tuple[Any, ...], place: int, **changes: object) -> tuple[Any, ...]:
    """Return named tuples of which one has changed."""
    return (*items[:place], items[place]._replace(**changes), *items[place + 1 :])
