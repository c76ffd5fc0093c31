"""Owns the start of a supervisor by the first user of a server."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from agentflow.local.binaries import find_postgres, find_valkey
from agentflow.local.cluster import read_major
from agentflow.local.errors import LocalServicesError, ServerFailed
from agentflow.local.folder import ServerFolder
from agentflow.local.locks import is_locked, wait_for_lock
from agentflow.local.program import Program
from agentflow.local.record import RunningServer, find_running

_START_S = 180.0
_POLL_S = 0.02
_ENTRY = Path(__file__).with_name("__main__.py")
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def ensure_running(kind: str, folder: ServerFolder) -> RunningServer:
    """Answer the folder's server once it takes connections; start it if nobody did. The users' lock must be held."""
    return _find_ready(folder) or _start_in_turn(kind, folder)


def _start_in_turn(kind: str, folder: ServerFolder) -> RunningServer:
    deadline = time.monotonic() + _START_S
    turn = wait_for_lock(folder.start_lock, timeout_s=_START_S)
    if turn is None:
        raise ServerFailed(_too_slow(folder))
    try:
        return _start_or_wait(kind, folder, deadline)
    finally:
        turn.release()


def _start_or_wait(kind: str, folder: ServerFolder, deadline: float) -> RunningServer:
    while time.monotonic() < deadline:
        if running := _find_ready(folder):
            return running
        if is_locked(folder.supervisor_lock):
            time.sleep(_POLL_S)  # it restarts its server, or is about to end
        else:
            _start_supervisor(kind, folder, deadline)
    raise ServerFailed(_too_slow(folder))


def _find_ready(folder: ServerFolder) -> RunningServer | None:
    running = find_running(folder)
    return running if running and running.ready else None


def _start_supervisor(kind: str, folder: ServerFolder, deadline: float) -> None:
    program = _find_program(kind, folder)
    command = [sys.executable, "-I", "-S", str(_ENTRY), kind, str(folder.path), str(program.path), program.version]
    with folder.supervisor_log.open("wb") as log:
        launcher = subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=_server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    with launcher:  # reaps it; the supervisor is its child and goes on
        _hear_answer(launcher, folder, deadline)


def _hear_answer(launcher: subprocess.Popen[bytes], folder: ServerFolder, deadline: float) -> None:
    remaining_s = max(0.0, deadline - time.monotonic())
    answer = launcher.stdout
    if answer is None or not select.select([answer], [], [], remaining_s)[0]:
        raise ServerFailed(_too_slow(folder))
    line = answer.readline()
    if not line:
        raise ServerFailed(f"The supervisor of {str(folder.path)!r} died: see {str(folder.supervisor_log)!r}")
    if error := json.loads(line).get("error"):
        raise ServerFailed(error)


def _find_program(kind: str, folder: ServerFolder) -> Program:
    if not sys.executable:
        raise LocalServicesError(
            "This Python does not know its own path: set AGENTFLOW_DATABASE_URL and AGENTFLOW_REDIS_URL"
        )
    return find_postgres(read_major(folder)) if kind == "postgres" else find_valkey()


def _server_environment() -> dict[str, str]:
    """Nothing of the user's: no PG* that bends the server, no locale it lacks, no API key in its memory."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "LC_ALL": "C", "LANG": "C"}


def _too_slow(folder: ServerFolder) -> str:
    return f"The server in {str(folder.path)!r} was not ready within {_START_S:.0f} s: see {str(folder.server_log)!r}"
