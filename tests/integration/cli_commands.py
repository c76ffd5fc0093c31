"""Owns the commands of the tests of the command line: real processes, in a folder and an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "agentflow")
LONGEST_S = 60.0

PIPELINE = """
from agentflow import Pipeline, tool
from pydantic import BaseModel

class Order(BaseModel):
    name: str
    pieces: int = 1

@tool(effect="read")
def fetch(name: str, pieces: int) -> dict:
    "Fetch."
    return {"name": name, "pieces": pieces}

@tool(effect="read")
def publish(fetch: dict) -> str:
    "Publish."
    return f"WORD {fetch['pieces']} {fetch['name']}"

nightly = Pipeline("nightly", [fetch, publish], input=Order)
"""


def environment(**settings: str) -> dict[str, str]:
    """Return an environment without any setting of whoever runs the tests, but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTFLOW_", "OPENAI_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **settings}


@dataclass(frozen=True)
class Project:
    """A folder with agents, and the environment of its commands."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, *, word: str = "published", **settings: str) -> Self:
        """Write the pipeline's module."""
        folder.mkdir(exist_ok=True)
        project = cls(folder, settings)
        project.edit(word)
        return project

    def edit(self, word: str) -> None:
        """Write the pipeline's module with another word in its result."""
        (self.folder / "nightly_agents.py").write_text(PIPELINE.replace("WORD", word), encoding="utf-8")

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=environment(**{**self.settings, **settings}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )

    def read(self, *arguments: str) -> Any:
        """Run a command that reads, and return its JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class Dev:
    """`agentflow dev` in a project; what it wrote is in `lines`."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self.process = subprocess.Popen(
            [*COMMAND, "dev", *arguments],
            cwd=project.folder,
            env=environment(**project.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_for(self, text: str, *, after: int = 0) -> int:
        """Wait until a line at or after number `after` holds the text, and return the number of the line behind it."""
        deadline = time.monotonic() + LONGEST_S
        with self._heard:
            while True:
                for number, line in enumerate(self.lines[after:], after):
                    if text in line:
                        return number + 1
                left = deadline - time.monotonic()
                assert left > 0, f"dev never said {text!r} but\n" + "".join(self.lines)
                self._heard.wait(left)

    def processes(self) -> set[int]:
        """Return dev and everything below it."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                with self._heard:
                    self.lines.append(line)
                    self._heard.notify_all()


def wait_until(claim: Callable[[], object], *, timeout_s: float = LONGEST_S) -> None:
    """Wait for the claim to become true."""
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while not claim():
        assert time.monotonic() < deadline, "it did not become true in time"
        pause.wait(0.05)
