"""Owns the rounds: every peer once in each, in another order each time, the floor right before each."""

from __future__ import annotations

import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.figures import Broken, Skipped
from bench.peers.catalogue import PEERS, Peer
from bench.peers.crew import Site
from bench.peers.environments import interpreter, pinned
from bench.peers.floor import take_floor
from bench.peers.measuring import Plan, measure
from bench.peers.servers import Servers, serving

Line = dict[str, Any]


class Rounds:
    """What is measured, and where the environments are."""

    def __init__(self, names: Sequence[str], plan: Plan, home: Path, notes: Console) -> None:
        self._names = names
        self._plan = plan
        self._home = home
        self._notes = notes

    def take(self, count: int) -> Iterator[Line]:
        """Yield what all have in common, then who can't be measured here, then an outcome for each peer and round."""
        with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder, serving(Path(folder)) as servers:
            yield _common(servers)
            pythons: dict[str, Path] = {}
            for name in self._names:
                try:
                    pythons[name] = self._python(PEERS[name])
                except Skipped as reason:
                    yield {"peer": name, "round": 0, "skipped": True, "none_because": str(reason)}
            for number in range(1, count + 1):
                for name in random.Random(number).sample(list(pythons), len(pythons)):
                    yield {"peer": name, "round": number, **self._measure(name, pythons[name], servers, folder)}

    def _python(self, peer: Peer) -> Path:
        if peer.environment is None:
            return Path(sys.executable)
        self._notes.print(f"{peer.name}: its environment ...")
        return interpreter(self._home, peer.environment)

    def _measure(self, name: str, python: Path, servers: Servers, scratch: str) -> Line:
        self._notes.print(f"{name} ...", end=" ")
        peer = PEERS[name]
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            try:
                floor = take_floor(servers, Path(folder))
                with servers.database(f"bench_{peer.module}") as url:
                    found = measure(peer, Site(python, Path(folder), url, servers.redis_url), servers, self._plan)
            except (Broken, TimeoutError) as error:
                self._notes.print("broken")
                return {"skipped": False, "none_because": str(error)}
        self._notes.print(f"{found['steps_per_s']:.0f} steps/s")
        return {"version": _version(peer), "setting": peer.setting, "floor": floor.as_json(), **found}


def _version(peer: Peer) -> str:
    return pinned(peer.environment)[peer.package] if peer.environment else version(peer.package)


def _common(servers: Servers) -> Line:
    return {
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "valkey": servers.valkey_version(),
        "postgres": servers.settings(),
    }
