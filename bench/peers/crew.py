"""Owns a peer's processes: its workers and its client. Each ends with the `with` block, or with this process."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import usage
from bench.figures import Broken
from bench.peers.catalogue import Peer
from bench.processes import ROOT, Process, end, read_tail
from bench.usage import Names

_ANSWER_S = 300.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where a peer works: with which Python, in which folder, on which servers."""

    python: Path
    folder: Path
    database_url: str
    redis_url: str

    def environment(self, peer: Peer) -> dict[str, str]:
        """Return what the peer's processes find in their environment."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.redis_url,
            **peer.told,
        }


class Crew:
    """A peer's running processes."""

    def __init__(self, site: Site, client: Process, *workers: Process) -> None:
        self._site = site
        self._client = client
        self._workers = workers

    def submit(self, count: int) -> None:
        """Have the client submit runs, and return once all are accepted."""
        assert self._client.stdin is not None
        self._client.stdin.write(b"%d\n" % count)
        self._client.stdin.flush()
        self.await_answer("submitted")

    def await_answer(self, answer: str) -> None:
        """Return once the client has said so."""
        assert self._client.stdout is not None
        ready, _, _ = select.select([self._client.stdout], [], [], _ANSWER_S)
        said = self._client.stdout.readline().decode().strip() if ready else ""
        if said != answer:
            raise Broken(f"the client said {said!r} for {answer!r}; the log says last: {read_tail(self._site.folder)}")

    def check(self) -> None:
        """Raise Broken where a process has ended by itself."""
        if any(process.poll() is not None for process in (self._client, *self._workers)):
            raise Broken(f"a process ended by itself; the log says last: {read_tail(self._site.folder)}")

    def processes(self) -> Names:
        """Return the processes by pid; what the client has started works."""
        names = usage.family(self._client.pid, "workers") | {self._client.pid: "client"}
        for worker in self._workers:
            names |= usage.family(worker.pid, "workers")
        return names


@contextmanager
def at_work(peer: Peer, site: Site) -> Iterator[Crew]:
    """Make what the peer needs, and run its workers and its client for as long as the block takes."""
    _wait(_start(peer, site, "prepare"), site)
    started: list[Process] = []
    try:
        # One by one, so that those that did start end too where the next one can't.
        for role in [("submit",), *(("work", name) for name in peer.workers)]:
            started += [_start(peer, site, *role)]
        crew = Crew(site, *started)
        crew.await_answer("connected")
        yield crew
    finally:
        end(*started)


def _start(peer: Peer, site: Site, *role: str) -> Process:
    with (site.folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(site.python), "-m", "bench.peers.inside", peer.module, *role],
            cwd=site.folder,
            env=site.environment(peer),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if role[0] == "submit" else log,
            stderr=log,
            start_new_session=True,
        )


def _wait(preparing: Process, site: Site) -> None:
    if preparing.wait(_ANSWER_S):
        raise Broken(f"it could not be prepared; the log says last: {read_tail(site.folder)}")
    end(preparing)
