"""Identities: of runs, of claims, and of the process that works."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Worker:
    """Who claims: a worker's boot (new at every start) and the process in it that does the call."""

    worker_id: str
    pid: int

    @classmethod
    def of_this_process(cls, worker_id: str | None = None) -> Worker:
        """Return this process's identity, as a child of the worker `worker_id` where one is given."""
        return cls(worker_id or str(uuid.uuid4()), os.getpid())


def new_token() -> str:
    """Return a random token for one claim."""
    return str(uuid.uuid4())
