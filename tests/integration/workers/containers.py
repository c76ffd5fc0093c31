"""Owns the processes that stand where pytest-celery has its workers' containers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_celery import CeleryTestContainer  # type: ignore[import-untyped]

from tests.integration.workers.waiting import until

REPOSITORY = Path(__file__).resolve().parents[3]
_READY_S = 60.0
_STOP_S = 45.0

IsRegistered = Callable[[int], bool]


class WorkerContainer(CeleryTestContainer):  # type: ignore[misc]  # pytest-celery publishes no types
    """A worker's process where pytest-celery has a container. Each start is one more process, in a group of its own."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, registered: IsRegistered
    ) -> None:
        self._name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._log = log
        self._registered = registered
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The node's name."""
        return self._name

    @property
    def id(self) -> str:
        """The process's number, padded: pytest-celery cuts a host name out of it."""
        return f"{self.pid:012d}"

    @property
    def pid(self) -> int:
        """The worker's main process."""
        assert self._process is not None, f"{self._name!r} was never started"
        return self._process.pid

    @property
    def attrs(self) -> dict[str, Any]:
        """What Docker would tell of a container."""
        return {"Id": self.id, "Name": self._name, "State": {"Status": self.status}, "Config": {"Cmd": self._command}}

    @property
    def status(self) -> str:
        """`running`, or `exited`; `created` before the first start."""
        if self._process is None:
            return "created"
        return "running" if self._process.poll() is None else "exited"

    @property
    def celeryconfig(self) -> dict[str, Any]:
        """Nothing: the workers take their configuration from the environment."""
        return {}

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it lives."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start a process."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=REPOSITORY,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def logs(self) -> str:
        """Return all that the node's processes have said."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal to the main process alone; wait for its end if that is SIGKILL."""
        chosen = _signal_of(signal)
        assert self._process is not None
        self._process.send_signal(chosen)
        if chosen == _signal_of("SIGKILL"):
            self._process.wait(timeout=10)

    def restart(self, timeout: float = _STOP_S) -> None:
        """End the process if it lives, start another, and wait until it is ready."""
        self.stop(timeout_s=timeout)
        self.start()
        self.ready()

    def reload(self) -> None:
        """Do nothing: nothing about a process is read ahead."""

    def ready(self) -> bool:
        """Wait until the worker has registered; raise with its log where it ends before."""
        return until(self._is_ready, f"{self._name!r} ready", timeout_s=_READY_S)

    def wait(self, *, timeout_s: float = _STOP_S) -> int:
        """Wait for the process's own end and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=timeout_s)

    def stop(self, *, timeout_s: float = _STOP_S) -> None:
        """Ask the process to end, and end it if it does not."""
        if self.status == "running":
            self.kill("SIGTERM")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(timeout_s=timeout_s)
        self.teardown()

    def teardown(self) -> None:
        """End the process and what it has started, at once."""
        if self._process is None:
            return
        if self._process.returncode is None:
            # Not reaped yet, so that its number still stands for its own group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def _is_ready(self) -> bool:
        if self.status != "running":
            raise AssertionError(f"{self._name!r} ended with {self.exit_code}; its log:\n{self.logs()[-4000:]}")
        return self._registered(self.pid)


def _signal_of(given: str | int | None) -> int:
    return signal.Signals[given] if isinstance(given, str) else given or signal.SIGKILL
