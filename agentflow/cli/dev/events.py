"""What may happen to the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.cli.dev.child import Child, Program


@dataclass(frozen=True, slots=True)
class Ended:
    """A child's process is gone."""

    child: Child
    code: int


@dataclass(frozen=True, slots=True)
class StartAgain:
    """The pause after a child's failure is over."""

    child: Child


@dataclass(frozen=True, slots=True)
class Reload:
    """The declarations changed, and can be imported: `pools` are those that now have something to serve."""

    because: str
    pools: Sequence[Program]


@dataclass(frozen=True, slots=True)
class Restart:
    """One child has to start afresh."""

    because: str
    name: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Every worker has registered."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A person, or a signal, wants an end."""


Event = Ended | StartAgain | Reload | Restart | Ready | Stop
