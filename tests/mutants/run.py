"""Runs tests in a copy of the tree, and tells a test that fails from tests that could not be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 900.0

_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+::\S+)", re.MULTILINE)
_REASON = re.compile(r"^E  .*$", re.MULTILINE)


class NotRun(Exception):
    """Tests that should have run did not: nothing can be said about what they show."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How some tests ended. `failed` names the first that failed; None where all passed. `said` is why."""

    arguments: str
    seconds: float
    failed: str | None
    said: str = ""


def run_tests(tree: Path, arguments: str) -> Ran:
    """Run tests of a tree until the first that fails."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            _command(arguments),
            check=False,
            cwd=tree,
            env=_environment(tree),
            timeout=TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired:
        # A suite whose runs never end has noticed too: each of its waits has a deadline, and they add up.
        return Ran(arguments, time.monotonic() - began, f"no end within {TIMEOUT_S:.0f} s")
    output = done.stdout
    if done.returncode not in {_PASSED, _FAILED}:
        raise NotRun(f"pytest {arguments} ended with {done.returncode}:\n{output[-3000:]}")
    named = _FAILURE.search(output)
    if done.returncode == _FAILED and named is None:
        raise NotRun(f"pytest {arguments} failed, and named no test:\n{output[-3000:]}")
    failed = named[1] if named and done.returncode == _FAILED else None
    return Ran(arguments, time.monotonic() - began, failed, "\n".join(_REASON.findall(output)))


def _command(arguments: str) -> list[str]:
    plain = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=short", "--show-capture=no", "-rfE", "--no-header"]
    return [sys.executable, "-m", "pytest", *plain, *arguments.split()]


def _environment(tree: Path) -> dict[str, str]:
    # Before the editable install, so that workers and the command line are the copy's too.
    of_the_copy = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    # Enough to find a guard missing by chance; nobody reads how.
    of_the_machine = {"STATEFUL_EXAMPLES": "150", "STATEFUL_SHRINKS": "no"}
    return {**os.environ, **of_the_copy, **of_the_machine}
