"""Explore all machines and print what came of it; ends with 1 where a claim does not hold."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from tests.model.explorer import Explored, Violation, explore
from tests.model.machine import Machine
from tests.model.proof import Mutant, broken_promises, cases, mutants


def main() -> int:
    """Print three tables: the sound machines, the guards, the promises. Return the exit code."""
    failures = _print_cases()
    failures += _print_refuted("without the guard", mutants())
    failures += _print_refuted("though the tool breaks its promise", broken_promises())
    print("\nall of it holds" if not failures else f"\n{failures} of it does not hold")
    return 1 if failures else 0


def _print_cases() -> int:
    print(f"{'machine':<45}{'processes':>10}{'faults':>8}{'states':>9}{'seconds':>9}  found")
    failures = 0
    for case in cases():
        explored, took_s = _timed(case.machine)
        failures += explored.violation is not None or explored.states != case.states
        counts = f"{case.processes:>10}{case.machine.faults:>8}{explored.states:>9}{took_s:>9.2f}"
        print(f"{case.name:<45}{counts}  {_verdict(explored, case.states)}")
    return failures


def _verdict(explored: Explored, states: int) -> str:
    if explored.violation is not None:
        return f"{explored.violation.reason}\n{_trace(explored.violation)}"
    return "nothing broken" if explored.states == states else f"nothing broken, but {states} states are expected"


def _print_refuted(title: str, refuted: Iterable[Mutant]) -> int:
    failures = 0
    print(f"\n{title}")
    for mutant in refuted:
        violation = explore(mutant.machine).violation
        failures += violation is None or violation.reason != mutant.reason
        if violation is None:
            print(f"  {mutant.name}: NOT refuted")
        else:
            print(f"  {mutant.name}: {violation.reason}, in {len(violation.trace)} moves\n{_trace(violation)}")
    return failures


def _trace(violation: Violation) -> str:
    return "\n".join(f"    {number:>3} {move}" for number, move in enumerate(violation.trace, 1))


def _timed(machine: Machine) -> tuple[Explored, float]:
    began = time.process_time()
    return explore(machine), time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
