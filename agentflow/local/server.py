"""Owns what a supervisor must know of a server, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals
from typing import Protocol

from agentflow.local.identity import Identity
from agentflow.local.program import Program


class Server(Protocol):
    """A server that runs in the foreground as a child of its supervisor."""

    name: str
    program: Program
    identity: Identity
    stop_signals: Sequence[Signals]
    """From the orderly stop to the certain end."""
    death_signal: Signals
    """What the server gets when its supervisor is killed: nobody will be there to repeat it."""

    @property
    def url(self) -> str:
        """The URL that its users connect to."""

    def settle(self) -> None:
        """Choose port and password; before it first answers only, so that a restart keeps the URL."""

    def prepare(self) -> None:
        """Make the data directory ready for a start. Raises ServerFailed."""

    def give_way(self) -> None:
        """Do what can be done about data that keep the server from starting."""

    def command(self) -> list[str]:
        """Answer the command line; secrets do not belong there."""

    def answers(self, pid: int, /) -> bool:
        """Whether the server that runs as `pid` takes connections."""
