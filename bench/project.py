"""Owns a project as `agentflow init` makes it, and `agentflow dev` running in it."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentflow import Client
from agentflow.cli.project import init
from agentflow.local import status
from bench import usage
from bench.figures import Broken
from bench.processes import Process, read_tail, running
from bench.waiting import until

AGENT = "support"
QUESTION = "My order 4421 arrived broken."

_READY = "agentflow dev is ready"


@dataclass(frozen=True, slots=True)
class Dev:
    """A running `agentflow dev`, and what was seen of its start."""

    process: Process
    data_dir: Path
    client: Client
    database_url: str
    began_at: float
    ready_after_s: float

    def processes(self) -> dict[int, str]:
        """Return all its processes by pid, each with what it is."""
        return usage.family(self.process.pid, "dev") | usage.servers(self.data_dir)


def make_project(folder: Path) -> Path:
    """Make a new project in a folder and return that."""
    with contextlib.redirect_stdout(io.StringIO()):
        init(folder)
    return folder


@contextmanager
def developing(folder: Path) -> Iterator[Dev]:
    """Run `agentflow dev` in the project's folder, and yield it once it says that it is ready."""
    log, data_dir = folder / "log", folder / ".agentflow"
    log.write_bytes(b"")
    began_at = time.time()
    with running("dev", folder=folder) as process:
        until(lambda: _READY in log.read_text(encoding="utf-8") or process.poll() is not None, "readiness")
        ready_after_s = time.time() - began_at
        found = status(data_dir)
        if found is None or found.postgres is None or found.valkey is None:
            raise Broken(f"`agentflow dev` did not start; it says last: {read_tail(folder)}")
        url = found.postgres.url
        with Client(database_url=url, redis_url=found.valkey.url) as client:
            yield Dev(process, data_dir, client, url, began_at, ready_after_s)
    until(lambda: not usage.servers(data_dir), "end of the servers")
