"""`python -m tests.mutants [GUARD ...] [--all]`: take each guard out, run the suite, and say in a table who noticed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rich.console import Console
from rich.table import Column, Table

from tests.mutants.guards import GUARDS, Guard
from tests.mutants.run import NotRun, Ran, run_tests
from tests.mutants.tree import patched_tree


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of a tree without one guard."""

    guard: Guard
    ran: Sequence[Ran]

    @property
    def is_caught(self) -> bool:
        """True where a test failed."""
        return any(each.failed for each in self.ran)


def main() -> int:
    """Return 0 where every guard is missed by tests that pass with all of them in place."""
    chosen = _parse()
    guards = [guard for guard in GUARDS if not chosen.guards or guard.name in chosen.guards]
    console = Console(width=160)
    try:
        verdicts = [judge(guard, console, everything=chosen.all) for guard in guards]
    except NotRun as error:
        console.print(str(error), markup=False)
        return 1
    console.print(table_of(verdicts))
    missed = [verdict.guard.name for verdict in verdicts if not verdict.is_caught]
    if missed:
        console.print(f"Nobody missed: {', '.join(missed)}")
    return 1 if missed else 0


def judge(guard: Guard, console: Console, *, everything: bool) -> Verdict:
    """Run a guard's tests without it, until one has noticed that passes with it."""
    ran: list[Ran] = []
    for tests in guard.tests:
        with patched_tree(guard.patches) as tree:
            ran.append(run_tests(tree, tests))
        console.print(f"without {guard.name}: {tests}: {ran[-1].failed or 'passes'}, {ran[-1].seconds:.0f} s")
        if ran[-1].failed:
            expect_to_pass(tests)
            if not everything:
                break
    return Verdict(guard, ran)


@cache
def expect_to_pass(tests: str) -> None:
    """Raise NotRun for tests that fail with all guards in place: they say nothing about any."""
    with patched_tree() as tree:
        ran = run_tests(tree, tests)
    if ran.failed:
        raise NotRun(f"{ran.failed} fails with all guards in place:\n{ran.said}")


def table_of(verdicts: Sequence[Verdict]) -> Table:
    """Return what became of each guard."""
    table = Table("guard", "switched off", Column("noticed by", overflow="fold"), "s", title="Mutants")
    for verdict in verdicts:
        noticed = "\n".join(each.failed for each in verdict.ran if each.failed) or "NOBODY"
        seconds = sum(each.seconds for each in verdict.ran)
        table.add_row(verdict.guard.name, verdict.guard.off, noticed, f"{seconds:.0f}")
    return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("guards", nargs="*", metavar="GUARD", help="; ".join(guard.name for guard in GUARDS))
    parser.add_argument("--all", action="store_true", help="run all of a guard's tests, whichever notices first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
