"""The tools and models from a client: pausing their calls, and letting them begin again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from agentflow.client.bulkheads import Resumed, check_known, close_breakers, this_person
from agentflow.client.submitting import is_label, label
from agentflow.store import holds
from agentflow.store.database import Database, Row

if TYPE_CHECKING:
    from agentflow.gate.protocol import Gate

Breakers = Mapping[str, tuple[str, ...]]


class Tools:
    """The bulkheads that an operator may pause, each by the name of its tool or model."""

    def __init__(self, database: Database, breakers: Callable[[], Breakers], gate: Callable[[], Gate | None]) -> None:
        self._database = database
        self._breakers = breakers
        self._gate = gate

    def pause(self, name: str, *, reason: str, by: str | None = None) -> None:
        """Let no more calls of a tool, or of a model, begin: their steps wait until it is resumed.

        Calls that have begun go on. `by` is who says so, this process's user by default. Raises UnknownTool.
        """
        check_known(name, self._breakers())
        why, who = _required("reason", reason), _required("by", by if by is not None else this_person())
        self._database.atomically(lambda tx: holds.hold(tx, name, why, who))

    def resume(self, name: str) -> Resumed:
        """Let calls of a tool or a model begin again, and close its breaker; return what there was to do.

        A client without Redis, or one whose Redis does not answer, resumes what is paused and leaves the breaker as it
        is. Raises UnknownTool for what is neither registered nor paused.
        """
        known = self._breakers()
        was_paused = is_label(name) and self._database.atomically(lambda tx: holds.release(tx, name))
        if not was_paused:
            check_known(name, known)
        breakers = known.get(name, (name,))
        stood = close_breakers(self._gate(), breakers)
        if stood is None:
            return Resumed(was_paused, None)
        behind = [each for each, theirs in known.items() if set(theirs) & set(breakers)]
        self._database.atomically(lambda tx: holds.hasten_behind_breaker(tx, behind))
        return Resumed(was_paused, stood.breaker, stood.reason)

    def held(self) -> Sequence[Row]:
        """Return what operators have paused: bulkhead (a tool's or a model's name), reason, held_by, held_at."""
        return self._database.atomically(holds.held)


def _required(name: str, value: object) -> str:
    given = label(name, "" if value is None else value)
    assert given is not None
    return given
