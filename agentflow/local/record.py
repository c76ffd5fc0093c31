"""Owns the record that a supervisor keeps of its running server, for others to find it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agentflow.local.folder import ServerFolder, usable
from agentflow.local.locks import is_locked
from agentflow.local.storage import read_object, write_private


@dataclass(frozen=True)
class RunningServer:
    """A server as its supervisor last recorded it; the URL holds the password, `ready` is false while it (re)starts."""

    url: str
    version: str
    program: str
    supervisor_pid: int
    server_pid: int
    ready: bool


@dataclass(frozen=True)
class RunningServices:
    """What runs below a data directory at this moment."""

    postgres: RunningServer | None
    valkey: RunningServer | None


def status(data_dir: Path) -> RunningServices | None:
    """Answer what runs below the data directory, None if nothing does. Starts nothing and keeps nothing alive."""
    with usable(data_dir):
        postgres = find_running(ServerFolder.of(data_dir, "postgres"))
        valkey = find_running(ServerFolder.of(data_dir, "valkey"))
    return RunningServices(postgres, valkey) if postgres or valkey else None


def find_running(folder: ServerFolder) -> RunningServer | None:
    """Answer the recorded server if its supervisor lives."""
    if not is_locked(folder.supervisor_lock):
        return None
    return read_record(folder)


def read_record(folder: ServerFolder) -> RunningServer | None:
    """Answer what was last recorded, by whomever, dead or alive."""
    found = read_object(folder.record)
    try:
        return RunningServer(**found) if found else None
    except TypeError:  # written by another version
        return None


def write_record(folder: ServerFolder, server: RunningServer) -> None:
    """Publish the server."""
    write_private(folder.record, json.dumps(asdict(server)))


def remove_record(folder: ServerFolder, supervisor_pid: int) -> None:
    """Withdraw the record, unless the folder was deleted and it is somebody else's by now."""
    found = read_record(folder)
    if found and found.supervisor_pid == supervisor_pid:
        folder.record.unlink(missing_ok=True)
