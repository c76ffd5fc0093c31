"""The command: takes the benchmarks one after the other and shows what they found."""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from agentflow import AgentflowError
from bench import airline, gate, outbox, people, recovery, rest, start, steps, storms
from bench.figures import Broken, Figure, Skipped
from bench.processes import forget_own_services
from bench.table import show_json, show_table

_BROKEN = "broken"

Measure = Callable[[Path], Iterator[Figure]]

BENCHMARKS: dict[str, Measure] = {
    "start": start.measure,
    "steps": steps.measure,
    "airline": airline.measure,
    "gate": gate.measure,
    "storms": storms.measure,
    "people": people.measure,
    "outbox": outbox.measure,
    "recovery": recovery.measure,
    "rest": rest.measure,
}


def main() -> int:
    """Take the benchmarks; 1 where one did not work, 130 where they were stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Takes agentflow's figures on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; all if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {min(unknown)!r}; there are {', '.join(BENCHMARKS)}")
    forget_own_services()
    notes = Console(stderr=True, highlight=False)
    try:
        found = {name: _take(name, notes) for name in asked.names or BENCHMARKS}
    except KeyboardInterrupt:
        notes.print("Stopped. Everything that was started has ended.")
        return 130
    if asked.json:
        show_json(found)
    else:
        show_table(Console(highlight=False), found)
    return int(any(isinstance(figures, str) and figures.startswith(_BROKEN) for figures in found.values()))


def _take(name: str, notes: Console) -> Sequence[Figure] | str:
    notes.print(f"{name} ...", end=" ")
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
            found = list(BENCHMARKS[name](Path(folder)))
    except Skipped as reason:
        notes.print("skipped")
        return f"skipped: {reason}"
    except (Broken, TimeoutError, AgentflowError) as error:
        notes.print("broken")
        return f"{_BROKEN}: {error}"
    notes.print(f"{time.monotonic() - began:.0f} s")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
