"""Owns one server's life: starts it, restarts it when it dies, and stops it when its last user is gone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from subprocess import Popen

from agentflow.local.children import Children
from agentflow.local.errors import ServerFailed
from agentflow.local.folder import ServerFolder
from agentflow.local.record import RunningServer, remove_record, write_record
from agentflow.local.restarts import Restarts
from agentflow.local.server import Server
from agentflow.local.shutdown import Shutdown
from agentflow.local.storage import read_lines, shorten

_READY_S = 120.0
_POLL_S = 0.01
_LOG_BYTES = 10_000_000


class Supervisor:
    """Runs in the main thread of a process of its own."""

    def __init__(self, server: Server, folder: ServerFolder, children: Children) -> None:
        self._server = server
        self._folder = folder
        self._children = children
        self._shutdown = Shutdown(server.stop_signals, self._shorten_log)
        self._announced = False

    def run(self, announce: Callable[[], None]) -> None:
        """Serve until nobody is left; `announce` is called once, when the server first answers. Raises ServerFailed."""
        self._shutdown.listen(self._folder.users_lock)
        try:
            self._serve(announce)
        finally:
            remove_record(self._folder, os.getpid())

    def _serve(self, announce: Callable[[], None]) -> None:
        restarts = Restarts()
        while not self._shutdown.is_requested():
            restarts.note_end(self._serve_once(announce))
            if self._shutdown.is_requested():
                return
            if restarts.too_many:
                raise ServerFailed(self._explain(restarts.in_a_row))
            if restarts.data_to_blame:
                self._server.give_way()
            self._pause(restarts.pause_s)

    def _serve_once(self, announce: Callable[[], None]) -> float | None:
        """Run the server to its end; answer how many seconds it served, None if it never answered."""
        process = self._launch()
        ready_at = time.monotonic() if self._becomes_ready(process) else None
        if ready_at is not None:
            self._tell(process, announce)
        elif not self._shutdown.is_requested():
            process.send_signal(self._server.death_signal)
        process.wait()
        self._shutdown.will_stop(None)
        self._children.forget()
        return None if ready_at is None else time.monotonic() - ready_at

    def _launch(self) -> Popen[bytes]:
        server, cwd = self._server, self._folder.path
        if not self._announced:
            server.settle()
        server.prepare()
        command, identity = server.command(), server.identity
        process = self._children.spawn(command, cwd=cwd, identity=identity, death_signal=server.death_signal)
        self._shutdown.will_stop(process)
        self._write_record(process, ready=False)
        return process

    def _becomes_ready(self, process: Popen[bytes]) -> bool:
        deadline = time.monotonic() + _READY_S
        while process.poll() is None and not self._shutdown.is_requested() and time.monotonic() < deadline:
            if self._server.answers(process.pid):
                return True
            time.sleep(_POLL_S)
        return False

    def _tell(self, process: Popen[bytes], announce: Callable[[], None]) -> None:
        self._write_record(process, ready=True)
        if not self._announced:
            self._announced = True
            announce()

    def _write_record(self, process: Popen[bytes], *, ready: bool) -> None:
        record = RunningServer(
            url=self._server.url,
            version=self._server.program.version,
            program=str(self._server.program.path),
            supervisor_pid=os.getpid(),
            server_pid=process.pid,
            ready=ready,
        )
        write_record(self._folder, record)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._shutdown.is_requested() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def _explain(self, times: int) -> str:
        log = self._folder.server_log
        tail = " | ".join(read_lines(log)[-3:])
        return f"{self._server.name} ended {times} times in a row; its log {str(log)!r} says last: {tail}"

    def _shorten_log(self) -> None:
        with contextlib.suppress(OSError):
            shorten(self._folder.server_log, _LOG_BYTES)
