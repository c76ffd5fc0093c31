"""The command: fills tables, runs the load on empty and on full ones, and reports what the tables have become."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from agentflow import AgentflowError
from agentflow.store.statements import Statements
from bench.figures import Broken, Figure
from bench.growth import indexes, report, sweeps
from bench.growth.agents import LINE, STEPS_VARIABLE
from bench.growth.filling import SPAN_S, fill
from bench.growth.months import divide_past
from bench.growth.settings import changes_under, try_fillfactors
from bench.growth.templates import keep_templates
from bench.loads.queries import Queries, querying
from bench.loads.rate import Rate, measure_rate
from bench.loads.turns import compare
from bench.processes import forget_own_services
from bench.stack import Stack
from bench.table import json_lines, show_table

# Seen: 11 kB for a run of ten steps, indexes and its attempts, messages and model calls included.
_BYTES_PER_STEP = 1_200
# Of the throughput on empty tables.
_THROUGHPUT = 0.9


def main() -> int:
    """Measure; 1 where it did not work, for want of room too, 130 where it was stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = _parser()
    asked = parser.parse_args()
    if asked.steps == 2:
        parser.error("a model that asks for a tool has three steps at least: --steps 1, or 3 and more")
    forget_own_services()
    notes = Console(stderr=True, highlight=False)
    try:
        with _folder(asked.folder) as folder:
            _check_room(folder, asked.runs * asked.steps * _BYTES_PER_STEP)
            figures = list(_measure(folder, asked, notes))
    except (Broken, TimeoutError, AgentflowError) as error:
        notes.print(str(error))
        return 1
    except KeyboardInterrupt:
        notes.print("Stopped. Everything that was started has ended.")
        return 130
    if asked.json:
        sys.stdout.writelines(f"{line}\n" for line in json_lines({"growth": figures}))
    else:
        show_table(Console(highlight=False), {"growth": figures})
    return 0


def _check_room(folder: Path, needed: int) -> None:
    # As much again for what is written on the way: WAL, and rows that are updated.
    free = shutil.disk_usage(folder).free
    if free < 2 * needed:
        raise Broken(f"{free / 1e9:.0f} GB are free in {str(folder)!r}, not {2 * needed / 1e9:.0f}: fewer --runs")


def _measure(folder: Path, asked: argparse.Namespace, notes: Console) -> Iterator[Figure]:
    told = {"AGENTFLOW_AGENTS": "bench.growth.agents", STEPS_VARIABLE: str(asked.steps)}
    (folder / "full").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="agentflow-bench-") as other,
        Stack(Path(other), told) as empty,
        Stack(folder / "full", told) as full,
        querying(full.database_url) as queries,
    ):
        yield from _fill(full, queries, asked.runs, notes)
        notes.print(f"{asked.turns} turns of {asked.load} runs each ...")
        compared = compare(empty, full, LINE, _inputs(asked.load), turns=asked.turns)
        yield from compared.figures("empty tables", "full tables", throughput=_THROUGHPUT)
        yield from sweeps.compare(empty, full)
        yield from _report(full, queries, asked, notes)


def _fill(stack: Stack, queries: Queries, runs: int, notes: Console) -> Iterator[Figure]:
    first = datetime.now(UTC) - timedelta(seconds=SPAN_S)
    yield Figure("tables in partitions of a month", divide_past(queries, first), "")
    keep_templates(stack, queries)
    began = time.monotonic()
    fill(stack.database_url, queries, runs, lambda done: notes.print(f"{done:,} of {runs:,} runs", end="\r"))
    notes.print()
    yield Figure("runs in the tables", int(queries.value("select count(*) from agent_runs")), "")
    yield Figure("steps in the tables", int(queries.value("select count(*) from agent_steps")), "")
    yield Figure("filled within", time.monotonic() - began, "s")


def _report(stack: Stack, queries: Queries, asked: argparse.Namespace, notes: Console) -> Iterator[Figure]:
    yield from report.sizes(queries)
    yield from report.updates(changes_under(queries, lambda: _load(stack, asked.load)), "as they are")
    for fillfactor, changes in try_fillfactors(queries, asked.fillfactor, lambda: _load(stack, asked.load)):
        notes.print(f"fillfactor {fillfactor} ...")
        yield from report.updates(changes, f"fillfactor {fillfactor}")
    indexes.read_everything(stack.client)
    plans = indexes.planned(queries, Statements.load(stack.client.database.schema))
    yield from report.unused(indexes.unused(queries, plans))


def _load(stack: Stack, runs: int) -> Rate:
    return measure_rate(stack, LINE, _inputs(runs))


def _inputs(runs: int) -> list[dict[str, int]]:
    return [{"number": number} for number in range(runs)]


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder:
        yield Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Shows what a long history costs.")
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many finished runs the tables get")
    parser.add_argument("--steps", type=int, default=10, help="how many steps each run has")
    parser.add_argument("--load", type=int, default=200, help="how many runs the load has")
    parser.add_argument("--turns", type=int, default=3, help="how often empty and full tables get the load")
    parser.add_argument(
        "--fillfactor", type=int, nargs="*", default=[100, 90, 80], help="tried one after the other; none: not at all"
    )
    parser.add_argument("--folder", type=Path, help="where the full tables stay, for another try; else they go")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
