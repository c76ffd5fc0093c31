"""The command: measures the peers, writes each outcome as it comes, and shows them all."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console

from bench.peers.catalogue import PEERS
from bench.peers.measuring import Plan
from bench.peers.outcomes import is_outcome
from bench.peers.plot import draw
from bench.peers.rounds import Line, Rounds
from bench.peers.table import show
from bench.processes import ROOT, forget_own_services

# Longer than Postgres' sessions keep back what they did when they have nothing to do.
_SETTLE_S = 11.0


def main() -> int:
    """Measure the peers, or show what was measured; 1 where a peer did not work, 130 where it was stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked, notes = _read_arguments(), Console(stderr=True, highlight=False)
    if asked.read:
        lines = [json.loads(line) for line in asked.read.read_text(encoding="utf-8").splitlines()]
    else:
        forget_own_services()
        rounds = Rounds(asked.only, Plan(asked.runs, asked.alone, asked.settle), asked.home, notes)
        try:
            lines = list(_written(asked.out, rounds.take(asked.rounds)))
        except KeyboardInterrupt:
            notes.print("Stopped. Everything that was started has ended.")
            return 130
    outcomes = [line for line in lines if is_outcome(line)]
    asked.plot.write_text(draw(outcomes), encoding="utf-8")
    show(Console(highlight=False), lines)
    return int(any("none_because" in each and not each["skipped"] for each in outcomes))


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Measures agentflow beside its peers.")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=PEERS, default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--runs", type=int, default=600, help="how many runs at once (600)")
    parser.add_argument("--alone", type=int, default=50, help="how many runs one by one (50)")
    parser.add_argument("--settle", type=float, default=_SETTLE_S, metavar="S", help="seconds of rest before each (11)")
    parser.add_argument("--home", type=Path, default=ROOT / ".agentflow" / "peers", help="where the environments are")
    parser.add_argument("--out", type=Path, help="JSON lines (outcomes.jsonl in the environments' folder)")
    parser.add_argument("--plot", type=Path, help="SVG (beside the JSON lines)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="show these JSON lines again, measure nothing")
    asked = parser.parse_args()
    asked.home = asked.home.resolve()
    asked.out = asked.read or asked.out or asked.home / "outcomes.jsonl"
    asked.plot = asked.plot or asked.out.with_suffix(".svg")
    return asked


def _written(out: Path, lines: Iterable[Line]) -> Iterator[Line]:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
            file.flush()
            yield line


if __name__ == "__main__":
    raise SystemExit(main())
