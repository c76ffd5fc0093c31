"""The probe: imports the declarations in a process of its own and says what they are, or what is wrong with them.

It writes one JSON object: `agents` by name with their tools, `pools` with their queues, `files` that were imported
from outside Python's own folders; or `error`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LONGEST_S = 60.0
_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Probed:
    """What the declarations are; `error` says why they are none."""

    agents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pools: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: frozenset[Path] = frozenset()
    error: str | None = None


class Probe:
    """A probe on its way."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", __spec__.name]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def result(self) -> Probed:
        """Wait for what it finds."""
        try:
            out, errors = self._process.communicate(timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            self.end()
            return Probed(
                error=f"importing the agents takes longer than {_LONGEST_S:.0f} s: move the work into the tools"
            )
        try:
            found = json.loads(out.decode().splitlines()[-1])
        except (ValueError, IndexError):
            last = errors.decode(errors="replace").strip().splitlines() or ["it wrote nothing"]
            return Probed(error=f"importing the agents ended the process ({self._process.returncode}): {last[-1]}")
        found["files"] = frozenset(map(Path, found.get("files", ())))
        return Probed(**found)

    def end(self) -> None:
        """Leave it."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Import and tell."""
    from agentflow.cli.environment import import_from
    from agentflow.cli.served import served_here
    from agentflow.domain.errors import AgentflowError
    from agentflow.settings import settings

    import_from(Path.cwd())
    try:
        served = served_here(settings())
        found = {
            "agents": {name: sorted(agent.tools) for name, agent in sorted(served.registry.agents.items())},
            "pools": {name: pool.queues for name, pool in served.pools.items()},
        }
    except AgentflowError as error:
        found = {"error": str(error)}
    print(json.dumps({**found, "files": sorted(imported_files())}), flush=True)


def imported_files() -> set[str]:
    """Return the files of the imported modules that are neither Python's, nor installed, nor agentflow's own."""
    elsewhere = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = {
        Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    apart = [*(path.resolve() for path in elsewhere), _PACKAGE]
    return {str(file) for file in found if not any(file.is_relative_to(folder) for folder in apart)}


if __name__ == "__main__":
    main()
