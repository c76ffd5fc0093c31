"""Owns pytest-celery's nodes as processes of this machine: workers that we start, and the embedded broker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from pytest_celery import CeleryTestBroker, CeleryTestContainer, CeleryTestWorker

from tests.integration.workers.servers import Servers
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


class WorkerNode(CeleryTestWorker):  # type: ignore[misc]
    """A worker of one pool."""

    def __init__(self, container: WorkerContainer, app: Celery | None, pool: str) -> None:
        super().__init__(container, app)
        self._container: WorkerContainer = container
        self.pool = pool

    @property
    def container(self) -> WorkerContainer:
        """The process."""
        return self._container

    @property
    def worker_name(self) -> str:
        """The pool's name: each pool's worker is named after it."""
        return self.pool

    def hostname(self) -> str:
        """The node's name in this test."""
        return self.container.name

    @property
    def is_running(self) -> bool:
        """True while its main process lives."""
        return self.container.status == "running"

    def children(self) -> list[int]:
        """Return the processes of its pool."""
        return [each["pid"] for each in self.get_running_processes_info() if each["pid"] != self.container.pid]

    def get_running_processes_info(
        self, columns: list[str] | None = None, filters: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return pid, parent, state of the main process and its children; `columns` and `filters` as pytest-celery's."""
        rows = [_process_of(path) for path in Path("/proc").glob("[0-9]*")]
        own = [row for row in rows if row and self.container.pid in {row["pid"], row["parent"]}]
        fitting = [row for row in own if all(row.get(name) == wanted for name, wanted in (filters or {}).items())]
        return [{name: row[name] for name in columns or row} for row in fitting]

    def send(self, which: signal.Signals) -> None:
        """Send a signal to the main process and its children alike."""
        for row in self.get_running_processes_info():
            with contextlib.suppress(ProcessLookupError):
                os.kill(row["pid"], which)


class BrokerContainer(CeleryTestContainer):  # type: ignore[misc]
    """The embedded Valkey where pytest-celery has a container."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    @property
    def name(self) -> str:
        """What it is."""
        return "valkey"

    @property
    def id(self) -> str:
        """Its name: there is one."""
        return self.name

    @property
    def attrs(self) -> dict[str, Any]:
        """What Docker would tell of a container."""
        return {"Id": self.id, "Name": self.name, "State": {"Status": self.status}}

    @property
    def status(self) -> str:
        """`running`, or `exited`."""
        return "running" if self._servers.redis_answers() else "exited"

    @property
    def celeryconfig(self) -> dict[str, Any]:
        """Where it is, from the workers as from here."""
        return {"url": self._servers.redis_url, "host_url": self._servers.redis_url}

    def logs(self) -> str:
        """Return nothing: its log is in the servers' folder."""
        return ""

    def kill(self, signal: str | int | None = None) -> None:  # noqa: ARG002 - pytest-celery's signature
        """Kill it for good; `restart` brings it back."""
        self._servers.take_redis_down()

    def restart(self, timeout: float = 10) -> None:  # noqa: ARG002
        """Bring it back on its old port."""
        if self.status != "running":
            self._servers.bring_redis_back()

    def reload(self) -> None:
        """Do nothing: nothing is read ahead."""

    def ready(self) -> bool:
        """Wait until it answers."""
        return until(self._servers.redis_answers, "an answer of Valkey")

    def teardown(self) -> None:
        """Leave it to the session, whose it is."""


class BrokerNode(CeleryTestBroker):  # type: ignore[misc]
    """The broker."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(BrokerContainer(servers))


def _process_of(path: Path) -> dict[str, Any] | None:
    try:
        name, _, rest = (path / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    return {"pid": int(path.name), "name": name.partition("(")[2], "state": fields[0], "parent": int(fields[1])}


def _signal_of(given: str | int | None) -> int:
    return signal.Signals[given] if isinstance(given, str) else given or signal.SIGKILL
