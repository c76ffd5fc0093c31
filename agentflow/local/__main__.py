"""Owns the supervisor's process: `python -I -S <this file> KIND FOLDER PROGRAM VERSION`, started by its first user."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Detach, supervise, and tell the starter on stdout that the server is ready, or why there is none."""
    kind, folder, program, version = sys.argv[1:]
    if os.fork():
        os._exit(0)
    # Only now: after the fork, and with the package modules out of the way.
    from agentflow.local.errors import LocalServicesError
    from agentflow.local.supervision import supervise

    try:
        supervise(kind, Path(folder), Path(program), version, announce=lambda: _answer({"ready": True}))
    except LocalServicesError as error:
        _answer({"error": str(error)})
        raise


def _answer(answer: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    # The starter reads one line; from here on nothing may hang on its pipe.
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)


def _skip_package_modules() -> None:
    """Give the packages modules without contents, whose imports this process would carry for nothing."""
    for name, path in (
        ("agentflow", _PACKAGE),
        ("agentflow.local", _PACKAGE / "local"),
        ("agentflow.domain", _PACKAGE / "domain"),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package


if __name__ == "__main__":
    _skip_package_modules()
    main()
