"""`python -m tests.crashpoints`: every point of every scenario, killed and frozen; ends in a table.

It exits with 1 where anything is wrong.

--scenario NAME --point N --how kill    repeat one case, or all of a scenario
--sample                                what the test suite takes
--count                                 list the points and strike nobody
--renew                                 count, and write the numbers into points.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path

from agentflow.local import attach
from tests.crashpoints.cases import PINNED, all_cases, sample
from tests.crashpoints.play import Players, Result
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.table import print_points, print_table


def main(arguments: list[str] | None = None) -> int:
    """Play what the command line asks for."""
    chosen = _parser().parse_args(arguments)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(_temporary()))
        services = stack.enter_context(attach(folder))
        players = stack.enter_context(Players(folder, services.database_url, services.redis_url, jobs=chosen.jobs))
        points = players.count(chosen.scenario or list(SCENARIOS), json.loads(PINNED.read_text()))
        if chosen.renew:
            PINNED.write_text(json.dumps({name: len(labels) for name, labels in points.items()}, indent=4) + "\n")
        if chosen.count or chosen.renew:
            print_points(points)
            return 0
        cases = sample(points) if chosen.sample else all_cases(points)
        cases = [case for case in cases if chosen.point in {None, case.point} and chosen.how in {None, case.how}]
        results = players.play(cases, points)
    print_table(points, results, time.monotonic() - began)
    if chosen.report:
        _write_report(chosen.report, points, results)
    return int(any(result.wrong for result in results))


def _temporary() -> AbstractContextManager[str]:
    # The servers end when this process has: they may still be at it.
    return tempfile.TemporaryDirectory(prefix="crashpoints", ignore_cleanup_errors=True)


def _write_report(path: Path, points: dict[str, list[str]], results: list[Result]) -> None:
    report = {"points": points, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crashpoints", description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=4, help="workers that play side by side, 15 at most")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS))
    parser.add_argument("--point", type=int)
    parser.add_argument("--how", choices=["kill", "freeze"])
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--folder", type=Path, help="where servers, logs and the world are, to look at them afterwards")
    parser.add_argument("--report", type=Path, help="write points and results into this file, as JSON")
    return parser


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    raise SystemExit(main())
