"""What the checker is given, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.world.arrival import Arrival


@dataclass(frozen=True, slots=True)
class Fault:
    """Something done on purpose. `kind` is its word (`kill_child`, `freeze_worker`, `cut`, `flush_redis`, ...).

    Both times are in seconds since 1970; an instant has the same in both.
    """

    kind: str
    target: str
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known once the world has healed.

    `arrivals` are the outside world's; `accepted` the ids of all runs whose submission was answered; `texts` are logs,
    pages and events that no canary may stand in. `ledger` is the table, outside agentflow's schema, that transactional
    tools write to: columns `key`, `run_id`, `step_index`, with nothing in it unique.
    """

    database_url: str
    arrivals: Sequence[Arrival]
    accepted: Sequence[str]
    redis_url: str | None = None
    faults: Sequence[Fault] = ()
    canaries: Sequence[str] = ()
    texts: Sequence[Path] = ()
    queues: Sequence[str] = ()
    ledger: str | None = "public.ledger"
    schema: str = "agentflow"
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that does not hold. `group` is 1 to 8, as the checker's list has them; `subject` names a row."""

    group: int
    subject: str
    what: str
