"""The command line: `agentflow COMMAND`.

    program.py      the commands by name; each module beside it holds one group of them, and imports what is heavy
                    inside the command, so that `agentflow --help` stays quick
    complaints.py   the one place where an error becomes a line on stderr and an exit code
    dev/            `agentflow dev`: everything on one machine

Exit codes: 0 ok, 1 the thing failed, 2 wrong use, 3 not finished yet.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from agentflow.cli.program import run

    return run(arguments)
