"""The checker by hand: `python -m tests.checker --database-url URL --world FOLDER`, a table by group."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.checker.check import GROUPS, check
from tests.checker.evidence import Evidence, Fault, Violation
from tests.world.arrival import read_arrivals


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name; print the table and every violation; return 1 where there is one."""
    violations = check(_evidence(_parser().parse_args(arguments)))
    print(table_of(violations))
    return int(bool(violations))


def table_of(violations: Sequence[Violation]) -> str:
    """Return how many violations each group has, and each of them."""
    lines = [f"{'group':<14}violations"]
    for number, (name, _) in GROUPS.items():
        lines.append(f"{number} {name:<12}{sum(violation.group == number for violation in violations):>10}")
    return "\n".join([*lines, *(f"{each.group} {each.subject}: {each.what}" for each in violations)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description="Check a database and its world.")
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--world", type=Path, help="the folder with the world's files")
    parser.add_argument("--redis-url")
    parser.add_argument("--schema", default="agentflow")
    parser.add_argument("--ledger", default="public.ledger", help="the table of transactional tools, or 'none'")
    parser.add_argument("--accepted", type=Path, help="a file of run ids, one a line")
    parser.add_argument("--faults", type=Path, help="a file of faults, one JSON object a line")
    parser.add_argument("--queue", action="append", default=[])
    parser.add_argument("--canary", action="append", default=[])
    parser.add_argument("--text", action="append", default=[], type=Path, help="a log or page no canary may stand in")
    return parser


def _evidence(given: argparse.Namespace) -> Evidence:
    return Evidence(
        given.database_url,
        arrivals=list(read_arrivals(given.world)) if given.world else (),
        accepted=_lines(given.accepted),
        redis_url=given.redis_url,
        faults=[Fault(**json.loads(line)) for line in _lines(given.faults)],
        canaries=given.canary,
        texts=given.text,
        queues=given.queue,
        ledger=None if given.ledger == "none" else given.ledger,
        schema=given.schema,
    )


def _lines(path: Path | None) -> list[str]:
    return [] if path is None else [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
