"""Owns the outside world's process as its parent sees it: where it is, what arrived, what it is told to do wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.world.arrival import Arrival, read_arrivals
from tests.world.moods import Moods, spread

PASSWORD = "WORLD_MAIL_PASSWORD"
REPOSITORY = Path(__file__).resolve().parents[2]
_END_S = 10.0


class World:
    """The outside world, in a process of its own until the end of the `with` block, or that of its parent.

    With a `mail_password`, mail is taken over TLS and with a login only.
    """

    def __init__(self, folder: Path, *, seed: int = 0, mail_password: str | None = None) -> None:
        self.folder = folder
        self._seed = seed
        self._password = mail_password
        self._guard = threading.Lock()
        self._process: subprocess.Popen[str]
        self.url: str
        self.smtp_port: int
        self.authority: Path

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "world.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.world", "--folder", str(self.folder), "--seed", str(self._seed)],
                cwd=REPOSITORY,
                env={**os.environ, PASSWORD: self._password or ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        said = self._hear()
        self.url, self.smtp_port, self.authority = said["url"], said["smtp_port"], Path(said["authority"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The world's process."""
        return self._process.pid

    @property
    def model_base_url(self) -> str:
        """What AGENTFLOW_LLM_BASE_URL has to be."""
        return f"{self.url}/v1"

    @property
    def smtp_url(self) -> str:
        """What AGENTFLOW_SMTP_URL has to be, but for its `from`."""
        login = f"agent:{quote(self._password, safe='')}@" if self._password else ""
        return f"smtp://{login}127.0.0.1:{self.smtp_port}?ca={self.authority}"

    def arrivals(self) -> list[Arrival]:
        """Return what arrived until now."""
        return list(read_arrivals(self.folder))

    def misbehave(self, faults: Moods) -> None:
        """From now on have these faults, by door and share; ValueError for those that it can't have."""
        spread(faults)
        self._command({"misbehave": faults})

    def heal(self) -> None:
        """Have no more faults, and let go what hangs."""
        self._command({"heal": True})

    def _command(self, command: dict[str, Any]) -> None:
        with self._guard:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            log = (self.folder / "world.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the outside world ended by itself; its log:\n{log[-4000:]}")
        return json.loads(line)
