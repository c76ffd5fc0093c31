"""Owns the other processes in the tests of the embedded servers: users that attach, and what is seen of a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg2
import redis

from agentflow.local import RunningServices, status

ROOT = Path(__file__).parents[2]
SITE = Path(psycopg2.__file__).parents[1]
SAME_PACKAGES = {"PYTHONPATH": f"{ROOT}{os.pathsep}{SITE}"}
NOBODY = 65534

_USER = """
import json, sys
from pathlib import Path
from agentflow.local import attach, status
wanted = json.loads(sys.argv[2])
with attach(Path(sys.argv[1]), **wanted) as services:
    servers = vars(status(Path(sys.argv[1])))
    print(json.dumps({kind: server.url for kind, server in servers.items() if server}), flush=True)
    sys.stdin.read()
"""


@dataclass
class User:
    """A process of its own that holds the servers until it is told to leave, or is killed."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, data_dir: Path, *, postgres: bool = True, valkey: bool = True) -> Self:
        return cls.run(sys.executable, data_dir, postgres=postgres, valkey=valkey)

    @classmethod
    def run(
        cls,
        python: str,
        data_dir: Path,
        *,
        uid: int | None = None,
        prepare: Callable[[], None] | None = None,
        **wanted: bool,
    ) -> Self:
        """Start it by a Python of choice, as another user if need be, in an environment that misleads servers."""
        return cls(
            subprocess.Popen(
                [python, "-c", _USER, str(data_dir), json.dumps(wanted)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=prepare,  # noqa: PLW1509 - one system call
                text=True,
                env={**os.environ, **SAME_PACKAGES, "PGPORT": "1", "PGDATA": "/nowhere", "LC_ALL": "xx_XX"},
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
        )

    def urls(self) -> dict[str, str]:
        """Wait until it holds the servers."""
        assert self.process.stdout
        return dict(json.loads(self.process.stdout.readline()))

    def complaint(self) -> str:
        """Wait until it gives up, and answer what it said."""
        return self.process.communicate()[1]

    def leave(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def wait_until(claim: Callable[[], object], *, timeout_s: float = 20.0) -> None:
    """Wait for the claim to become true."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def found(data_dir: Path) -> RunningServices:
    """Answer what runs; something must."""
    services = status(data_dir)
    assert services is not None
    return services


def wait_for_end(data_dir: Path) -> None:
    """Wait until nothing runs any more."""
    wait_until(lambda: status(data_dir) is None)


def is_alive(pid: int) -> bool:
    """Whether the process does anything any more; a zombie does not."""
    try:
        os.kill(pid, 0)
        state = subprocess.run(
            ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    except ProcessLookupError:
        return False
    return not state.startswith("Z")


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    """Run one statement in a connection of its own."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""), connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether the database takes a connection at this moment."""
    try:
        return query(url, "select 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def valkey(url: str) -> redis.Redis:
    """A client to be used as a context manager."""
    return redis.Redis.from_url(url, decode_responses=True)
