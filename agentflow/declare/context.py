"""What a tool is handed beside its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from agentflow.declare.outbox import Outbox
from agentflow.domain.errors import ToolError
from agentflow.domain.run import Run

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agentflow.declare.credential import Credential
    from agentflow.declare.resource import Resource

T = TypeVar("T")


class Scratchpad(MutableMapping[str, Any]):
    """A run's notes: a snapshot from before the step. Only the keys that the step sets or deletes are merged back."""

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        self._values = dict(snapshot)
        self._changed: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._changed[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._changed[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def changes(self) -> Mapping[str, Any]:
        """The keys that this step wrote; None stands for a deleted one."""
        return dict(self._changed)


@dataclass(slots=True)
class Context:
    """The run and the step that a tool works for.

    `idempotency_key` is the same in every attempt at this step: hand it to the other side. `deadline_at` is when this
    call's result is of no use any more. `scratchpad` is a snapshot; see Scratchpad. In a verification and in a
    compensation `subject_key` is the key of the call that it is about.
    """

    run: Run
    step_index: int
    attempt: int
    idempotency_key: str
    deadline_at: datetime
    logger: Any
    open_resource: Callable[[Resource[Any]], Any]
    scratchpad: Scratchpad = field(default_factory=lambda: Scratchpad({}))
    outbox: Outbox = field(default_factory=Outbox)
    recording_connection: Connection | None = None
    read_secret: Callable[[Credential], str] = lambda credential: credential.load()
    subject_key: str | None = None

    @property
    def connection(self) -> Connection:
        """The SQLAlchemy connection of the recording transaction; a `transactional` tool writes through it alone."""
        if self.recording_connection is None:
            raise ToolError(
                "ctx.connection exists in tools with effect='transactional' only, whose writes commit with the step",
                happened=False,
            )
        return self.recording_connection

    def use(self, resource: Resource[T]) -> T:
        """Return the process's own instance of a resource, opened at its first use."""
        opened: T = self.open_resource(resource)
        return opened

    def secret(self, credential: Credential) -> str:
        """Return a credential's secret, as this process has read it."""
        return self.read_secret(credential)
