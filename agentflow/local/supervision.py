"""Owns how a supervisor gets hold of its folder: the locks, the children's log, the server of the kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agentflow.local.children import Children
from agentflow.local.errors import ServerFailed
from agentflow.local.folder import ServerFolder
from agentflow.local.locks import FileLock, wait_for_lock
from agentflow.local.postgres import PostgresServer
from agentflow.local.program import Program
from agentflow.local.record import read_record
from agentflow.local.server import Server
from agentflow.local.supervisor import Supervisor
from agentflow.local.valkey import ValkeyServer

# A killed supervisor's server is dying at this moment.
_TAKE_OVER_S = 15.0


def supervise(kind: str, path: Path, program: Path, version: str, announce: Callable[[], None]) -> None:
    """Supervise the server of the folder until nobody uses it. Raises ServerFailed."""
    folder = ServerFolder(path)
    os.chdir(path)
    locks = _take_over(folder.supervisor_lock, folder), _take_over(folder.server_lock, folder)
    children = Children(folder.server_log, locks[1])
    server = _server(kind, folder, Program(program, version), children)
    Supervisor(server, folder, children).run(announce)


def _server(kind: str, folder: ServerFolder, program: Program, children: Children) -> Server:
    if kind == "postgres":
        return PostgresServer(folder, program, children)
    return ValkeyServer(folder, program)


def _take_over(lock_path: Path, folder: ServerFolder) -> FileLock:
    lock = wait_for_lock(lock_path, timeout_s=_TAKE_OVER_S)
    if lock is None:
        previous = read_record(folder)
        pid = previous.server_pid if previous else "unknown"
        raise ServerFailed(
            f"A server without a supervisor still uses {str(folder.path)!r}: end process {pid} and try again"
        )
    return lock
