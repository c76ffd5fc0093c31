"""Takes one measurement of one peer: runs one by one in an idle system, then all at once."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]  # it publishes no types

from bench.figures import percentile
from bench.peers.catalogue import Peer
from bench.peers.crew import Crew, Site, at_work
from bench.peers.servers import Servers, Watch, watching
from bench.peers.work import STEPS
from bench.usage import Names
from bench.waiting import until

_WARM_UP = 20
_START_S, _ALONE_S, _TOGETHER_S = 120.0, 60.0, 300.0
_LOOK_ALONE_S, _LOOK_TOGETHER_S = 0.001, 0.02
# A guest's time is in the user's.
_IDLE, _BUSY = ("idle", "iowait"), ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many runs at once and one by one; and how long a session waits until it tells what it did."""

    runs: int
    alone: int
    settle_s: float


class Measurement:
    """A peer at work, looked at from outside."""

    def __init__(self, peer: Peer, servers: Servers, crew: Crew, watch: Watch) -> None:
        self._peer = peer
        self._servers = servers
        self._crew = crew
        self._watch = watch
        self._done = 0

    def finish(self, count: int, look_s: float, patience_s: float) -> None:
        """Submit runs and return once they are done."""
        self._crew.submit(count)
        self._done += count
        deadline = time.monotonic() + patience_s
        while (done := self._peer.done(self._watch)) < self._done:
            self._crew.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._done - done} runs were not done within {patience_s:g} s")
            threading.Event().wait(look_s)

    def one_by_one(self, count: int) -> dict[str, float]:
        """Return how long a run takes in an idle system, from before its submission to its end."""
        taken_ms = []
        for _ in range(count):
            began = time.perf_counter()
            self.finish(1, _LOOK_ALONE_S, _ALONE_S)
            taken_ms.append((time.perf_counter() - began) * 1000)
        return {f"p{percent}_ms": percentile(taken_ms, percent) for percent in (50, 95)}

    def together(self, count: int) -> dict[str, Any]:
        """Return rate and costs of runs that are submitted at once."""
        steps, wal, machine, used = count * STEPS, self._servers.wal_bytes(), psutil.cpu_times(), self._cpu_s()
        began = time.perf_counter()
        self.finish(count, _LOOK_TOGETHER_S, _TOGETHER_S)
        seconds = time.perf_counter() - began
        split = {name: spent - used.get(name, 0.0) for name, spent in self._cpu_s().items()}
        return {
            "steps": steps,
            "seconds": seconds,
            "steps_per_s": steps / seconds,
            "cpu_s_per_1000_steps": sum(split.values()) / steps * 1000,
            "cpu_split": {name: spent / steps * 1000 for name, spent in split.items()},
            "wal_kb_per_step": (self._servers.wal_bytes() - wal) / steps / 1024,
            "foreign_cpu_share": _foreign_share(machine, psutil.cpu_times(), sum(split.values())),
        }

    def _cpu_s(self) -> dict[str, float]:
        names = {**self._servers.processes(), **self._crew.processes()}
        # What looks, from outside, is not the peer's.
        names.pop(self._watch.pid, None)
        return _cpu_s(names)


def measure(peer: Peer, site: Site, servers: Servers, plan: Plan) -> dict[str, Any]:
    """Measure a peer in a fresh database."""
    database = site.database_url.rpartition("/")[2]
    with watching(site.database_url, site.redis_url) as watch:
        with at_work(peer, site) as crew:
            taken = Measurement(peer, servers, crew, watch)
            taken.finish(_WARM_UP, _LOOK_TOGETHER_S, _START_S)
            threading.Event().wait(plan.settle_s)
            before, looks = servers.transactions(database), watch.looks
            found = taken.one_by_one(plan.alone) | taken.together(plan.runs)
        own = watch.looks - looks
    # What ends tells all that it did.
    until(lambda: not servers.sessions(database), "end of the peer's sessions")
    told = servers.transactions(database) - before - own
    return {**found, "transactions_per_step": told / (plan.alone + plan.runs) / STEPS}


def _cpu_s(names: Names) -> dict[str, float]:
    """Return CPU seconds by name; those of children that have ended stand at their parents."""
    used: dict[str, float] = {}
    for pid, name in names.items():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            spent = times.user + times.system + times.children_user + times.children_system
            used[name] = used.get(name, 0.0) + spent
    return used


def _foreign_share(before: Any, after: Any, own_s: float) -> float:
    """Return how much of the machine was busy with anything else, what looks included."""
    idle_s, busy_s = (
        sum(getattr(after, kind, 0.0) - getattr(before, kind, 0.0) for kind in kinds) for kinds in (_IDLE, _BUSY)
    )
    return max(0.0, busy_s - own_s) / max(idle_s + busy_s, 0.01)
