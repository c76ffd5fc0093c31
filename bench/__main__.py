"""The command: takes the benchmarks one after the other and shows what they found."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from agentflow import AgentflowError
from bench import airline, gate, outbox, people, profiling, queries, recovery, rest, start, steps, storms
from bench.charts import draw
from bench.figures import Broken, Figure, Skipped
from bench.loads.catalogue import LOADS
from bench.processes import forget_own_services
from bench.size import Size, add_size
from bench.table import Found, json_lines, show_table

_BROKEN = "broken"
_WIDTH = 140

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
    **LOADS,
}

# What is taken where nothing is named: what steps cost under each load, in less than ten minutes.
_USUAL = ("steps", "gate", "recovery", "rest", *LOADS)
_ALL = "all"

# What looks into the load of the steps, with options of its own.
LOOKS: dict[str, Callable[[Sequence[str]], int]] = {"profile": profiling.main, "queries": queries.main}


def main(arguments: Sequence[str]) -> int:
    """Take the benchmarks, or one look; 1 where something did not work, 130 where it was stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forget_own_services()
    notes = Console(stderr=True, highlight=False)
    try:
        if arguments and arguments[0] in LOOKS:
            return LOOKS[arguments[0]](arguments[1:])
        return _take_all(_read(arguments), notes)
    except KeyboardInterrupt:
        notes.print("Stopped. Everything that was started has ended.")
        return 130


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Takes agentflow's figures on this machine.",
        epilog=f"Other words: {', '.join(LOOKS)}; each has a --help of its own.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which: {', '.join(BENCHMARKS)}, or {_ALL}; if not given {', '.join(_USUAL)}",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per figure in place of the table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write one JSON object per figure into a file too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the rates and costs of the steps, as SVG")
    add_size(parser)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - {*BENCHMARKS, _ALL}:
        parser.error(f"there is no benchmark {min(unknown)!r}; there are {', '.join(BENCHMARKS)}")
    return asked


def _take_all(asked: argparse.Namespace, notes: Console) -> int:
    benchmarks: dict[str, Measure] = {**BENCHMARKS, "steps": partial(steps.measure, size=Size.read(asked))}
    names = BENCHMARKS if _ALL in asked.names else asked.names or _USUAL
    found = {name: _take(name, benchmarks[name], notes) for name in names}
    _show(asked, found)
    return int(any(isinstance(figures, str) and figures.startswith(_BROKEN) for figures in found.values()))


def _take(name: str, measure: Measure, notes: Console) -> Sequence[Figure] | str:
    notes.print(f"{name} ...", end=" ")
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
            found = list(measure(Path(folder)))
    except Skipped as reason:
        notes.print("skipped")
        return f"skipped: {reason}"
    except (Broken, TimeoutError, AgentflowError) as error:
        notes.print("broken")
        return f"{_BROKEN}: {error}"
    notes.print(f"{time.monotonic() - began:.0f} s")
    return found


def _show(asked: argparse.Namespace, found: Found) -> None:
    lines = "".join(f"{line}\n" for line in json_lines(found))
    if asked.out:
        asked.out.write_text(lines, encoding="utf-8")
    if asked.plot:
        asked.plot.write_text(draw(found), encoding="utf-8")
    if asked.json:
        sys.stdout.write(lines)
    else:
        show_table(_page(), found)


def _page() -> Console:
    # A pipe has no width: the tables' own, where they are not to be broken.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
