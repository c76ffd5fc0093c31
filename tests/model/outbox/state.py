"""The state of a batch of messages and of its relays; and the guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import replaced

NOBODY = -1


class Message(NamedTuple):
    """A row, whose token it carries, and how often it has arrived."""

    status: str = "pending"
    relay: int = NOBODY
    arrived: int = 0


class Relay(NamedTuple):
    """A process, and what it has of its batch in mind; the first is the one that it is at."""

    doing: str = "idle"
    rest: tuple[int, ...] = ()
    frozen: bool = False


class State(NamedTuple):
    """The rows and the processes; how many faults there may be, and how many messages came in doubt."""

    messages: tuple[Message, ...]
    relays: tuple[Relay, ...]
    faults: int
    doubts: int = 0


@dataclass(frozen=True)
class Guards:
    """Rules of Outbox and Before the call."""

    sending: bool = True  # Outbox: commits `sending` just before it is handed over
    one_by_one: bool = True  # Outbox: for each row: one crash leaves one row in doubt, not the batch
    token: bool = True  # Claim: the fence; a row that was taken back is not handed over
    timer: bool = True  # Before the call: the outbox relay does the same
    recovery: bool = True  # Sweeper: takes back leases


def killed(state: State, place: int) -> State:
    """Return a state in which a process was started afresh; the token of the one before it belongs to nobody."""
    orphans = (each._replace(relay=NOBODY) if each.relay == place else each for each in state.messages)
    return with_relay(state._replace(messages=tuple(orphans)), place, doing="idle", rest=(), frozen=False)


def with_message(state: State, number: int, **changes: object) -> State:
    return state._replace(messages=replaced(state.messages, number, **changes))


def with_relay(state: State, place: int, **changes: object) -> State:
    return state._replace(relays=replaced(state.relays, place, **changes))
