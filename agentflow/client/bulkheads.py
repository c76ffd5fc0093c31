"""The bulkheads that an operator may pause: each tool and each model that a worker has registered, by its name."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentflow.domain.errors import UnknownTool
from agentflow.domain.quoting import quoted

if TYPE_CHECKING:
    from agentflow.gate.protocol import BulkheadState, Gate

_RELAYS = "outbox."


@dataclass(frozen=True, slots=True)
class Resumed:
    """What resuming found. `breaker` is how the breaker stood before it was closed: closed, open or half_open.

    It is None where nobody could be asked: the client has no Redis, or Redis does not answer.
    """

    was_paused: bool
    breaker: str | None
    breaker_reason: str | None = None


def breakers_of(agents: Sequence[Mapping[str, Any]], queues: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return, for each bulkhead that the registered agents have, the names of its breakers: nearly always one.

    `queues` are those that live workers serve: a kind of message is a bulkhead by the name of its relay's queue.
    """
    found = {queue: {queue} for queue in queues if queue.startswith(_RELAYS)}
    for part in _parts(agents):
        found.setdefault(part["name"], set()).add(part.get("depends_on") or part["name"])
    return {name: tuple(sorted(breakers)) for name, breakers in sorted(found.items())}


def check_known(name: str, known: Mapping[str, Any]) -> None:
    """Raise UnknownTool for what is no registered tool or model, naming those there are."""
    if name not in known:
        names = ", ".join(map(repr, known)) or "none yet: start a worker with AGENTFLOW_AGENTS set"
        raise UnknownTool(f"no worker has registered a tool or a model {quoted(name)}; registered: {names}")


def close_breakers(gate: Gate | None, breakers: Sequence[str]) -> BulkheadState | None:
    """Close breakers and return how one of them stood, one that was not closed first; None without an answer."""
    if gate is None:
        return None
    try:
        stood = gate.states({name: name for name in breakers})
        for name in breakers:
            gate.close_breaker(name)
    except OSError:
        return None
    return max(stood, key=lambda each: each.breaker != "closed", default=None)


def this_person() -> str:
    """Return the name of the operating system's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        return f"uid {os.getuid()}"


def _parts(agents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for agent in agents:
        yield from agent["tools"]
        if agent["model"]:
            yield agent["model"]
