"""The command: measures every peer in each round, in another order each time, the floor right before each."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
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
from bench.peers.plot import draw
from bench.peers.servers import Servers, serving
from bench.peers.table import show
from bench.processes import ROOT, forget_own_services

# Longer than Postgres' sessions keep back what they did when they have nothing to do.
_SETTLE_S = 11.0


def main() -> int:
    """Measure the peers, or show what was measured; 1 where a peer did not work, 130 where it was stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked, notes = _read_arguments(), Console(stderr=True, highlight=False)
    outcomes: list[dict[str, Any]] = []
    if asked.read:
        lines = map(json.loads, asked.read.read_text(encoding="utf-8").splitlines())
        outcomes = [line for line in lines if "peer" in line]
    else:
        try:
            outcomes.extend(_write(asked.out, _take(asked, notes)))
        except KeyboardInterrupt:
            notes.print("Stopped. Everything that was started has ended.")
            return 130
    asked.plot.write_text(draw(outcomes), encoding="utf-8")
    show(Console(highlight=False), outcomes)
    return int(any("none_because" in each and not each["skipped"] for each in outcomes))


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Measures agentflow beside its peers.")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=PEERS, default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--runs", type=int, default=600, help="how many runs at once (600)")
    parser.add_argument("--alone", type=int, default=50, help="how many runs one by one (50)")
    parser.add_argument("--settle", type=float, default=_SETTLE_S, metavar="S", help="pause before each (11)")
    parser.add_argument("--home", type=Path, default=ROOT / ".agentflow" / "peers", help="where the environments are")
    parser.add_argument("--out", type=Path, help="JSON lines (outcomes.jsonl in the environments' folder)")
    parser.add_argument("--plot", type=Path, help="SVG (beside the JSON lines)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="show these JSON lines again, measure nothing")
    asked = parser.parse_args()
    asked.home = asked.home.resolve()
    asked.out = asked.read or asked.out or asked.home / "outcomes.jsonl"
    asked.plot = asked.plot or asked.out.with_suffix(".svg")
    return asked


def _take(asked: argparse.Namespace, notes: Console) -> Iterator[dict[str, Any]]:
    """Yield the machine, then an outcome for each peer and round."""
    forget_own_services()
    plan = Plan(asked.runs, asked.alone, asked.settle)
    pythons: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder, serving(Path(folder)) as servers:
        yield _describe(servers)
        for name in asked.only:
            try:
                pythons[name] = _python(PEERS[name], asked.home, notes)
            except Skipped as reason:
                yield {"peer": name, "round": 0, "skipped": True, "none_because": str(reason)}
        for number in range(1, asked.rounds + 1):
            for name in random.Random(number).sample(list(pythons), len(pythons)):
                notes.print(f"round {number}: {name} ...", end=" ")
                outcome = _measure(PEERS[name], pythons[name], servers, plan, Path(folder))
                notes.print("broken" if "none_because" in outcome else f"{outcome['steps_per_s']:.0f} steps/s")
                yield {"peer": name, "round": number, **outcome}


def _measure(peer: Peer, python: Path, servers: Servers, plan: Plan, scratch: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            floor = take_floor(servers, Path(folder))
            url = servers.fresh_database(f"bench_{peer.name.replace('-', '_')}")
            found = measure(peer, Site(python, Path(folder), url, servers.redis_url), servers, plan)
        except (Broken, TimeoutError) as error:
            return {"skipped": False, "none_because": str(error)}
    return {"setting": peer.setting, "version": _version(peer), "floor": floor.as_json(), **found}


def _python(peer: Peer, home: Path, notes: Console) -> Path:
    if peer.environment is None:
        return Path(sys.executable)
    notes.print(f"{peer.name}: its environment ...")
    return interpreter(home, peer.environment)


def _version(peer: Peer) -> str:
    return pinned(peer.environment)[peer.package] if peer.environment else version(peer.package)


def _describe(servers: Servers) -> dict[str, Any]:
    return {
        "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "postgres": servers.settings(),
        "valkey": servers.valkey_version(),
    }


def _write(out: Path, found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Write each line as it comes, and yield the outcomes among them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as lines:
        for each in found:
            lines.write(json.dumps(each) + "\n")
            lines.flush()
            if "peer" in each:
                yield each


if __name__ == "__main__":
    raise SystemExit(main())
