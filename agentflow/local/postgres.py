"""Owns the embedded PostgreSQL: its settings, and how to tell that it answers."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from agentflow.local.address import read_address, settle_address
from agentflow.local.children import Children
from agentflow.local.cluster import DATABASE, USER, Cluster
from agentflow.local.folder import ServerFolder
from agentflow.local.identity import choose_identity
from agentflow.local.program import Program
from agentflow.local.storage import read_lines
from agentflow.ports import HOST

_PID_LINE, _STATUS_LINE = 0, 7

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "max_parallel_workers_per_gather": "0",
    "huge_pages": "off",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
}


class PostgresServer:
    """PostgreSQL on a loopback port behind a random password; no socket file, whose path could be too long."""

    name = "PostgreSQL"
    stop_signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    # Not SIGINT: a fast shutdown may wait. Not SIGKILL: it would leave the backends to notice by themselves.
    death_signal = signal.SIGQUIT

    def __init__(self, folder: ServerFolder, program: Program, children: Children) -> None:
        self.program = program
        self.identity = choose_identity(program.path, folder.path, folder.cluster)
        self._folder = folder
        self._cluster = Cluster(folder, program, self.identity, children)
        self._password_is_new = read_address(folder) is None
        self._address = settle_address(folder)

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, with its driver: SQLAlchemy's own default is another one."""
        address = self._address
        return f"postgresql+psycopg2://{USER}:{address.password}@{HOST}:{address.port}/{DATABASE}"

    def settle(self) -> None:
        """Choose the port again if somebody took it."""
        self._address = settle_address(self._folder)

    def prepare(self) -> None:
        """Make the data directory, or take over the one that is there."""
        if self.identity.owner != self._folder.path.stat().st_uid:
            self._folder.path.chmod(0o711)  # the server's user passes through; the files in it stay private
        if not self._cluster.path.exists():
            self._cluster.create(self._address.password)
            self._password_is_new = False
        self._cluster.take_over()
        if self._password_is_new:
            self._cluster.change_password(self._address.password)
            self._password_is_new = False

    def give_way(self) -> None:
        """Do nothing: this is the truth, and never ours to set aside."""

    def command(self) -> list[str]:
        """Answer the command line of `postgres` in the foreground."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return [str(self.program.path), "-D", str(self._cluster.path), "-p", str(self._address.port), *settings]

    def answers(self, pid: int, /) -> bool:
        """Tell it the way pg_ctl does: without a driver, and as soon as connections are taken."""
        lines = read_lines(self._cluster.path / "postmaster.pid")
        if len(lines) <= _STATUS_LINE:
            return False
        return lines[_PID_LINE] == str(pid) and lines[_STATUS_LINE].strip() == "ready"
