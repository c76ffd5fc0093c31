"""Owns the embedded Valkey (or Redis): its settings, its append-only file, and how to tell that it answers."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence

from agentflow.local.address import settle_address
from agentflow.local.folder import ServerFolder
from agentflow.local.identity import same_user
from agentflow.local.program import Program
from agentflow.local.storage import remove_tree, write_private
from agentflow.ports import HOST

_ANSWER_S = 1.0

_SETTINGS = """\
bind {host}
port {port}
requirepass {password}
dir .
daemonize no
logfile ""
appendonly yes
save ""
maxmemory-policy noeviction
always-show-logo no
"""


class ValkeyServer:
    """Valkey on a loopback port behind a random password, which stands in a private file and on no command line."""

    name = "Valkey"
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
    death_signal = signal.SIGKILL

    def __init__(self, folder: ServerFolder, program: Program) -> None:
        self.program = program
        self.identity = same_user()
        self._folder = folder
        self._address = settle_address(folder)

    @property
    def url(self) -> str:
        """The URL as kombu and redis-py know it: there is no `valkey://` in kombu."""
        return f"redis://:{self._address.password}@{HOST}:{self._address.port}/0"

    def settle(self) -> None:
        """Choose the port again if somebody took it."""
        self._address = settle_address(self._folder)

    def prepare(self) -> None:
        """Write the configuration."""
        address = self._address
        settings = _SETTINGS.format(host=HOST, port=address.port, password=address.password)
        write_private(self._folder.path / "valkey.conf", settings)

    def give_way(self) -> None:
        """Start empty rather than never: in here are hints and counters, the truth is in PostgreSQL."""
        data = self._folder.path / "appendonlydir"
        broken = self._folder.path / "appendonlydir.broken"
        if data.exists():
            remove_tree(broken)
            data.rename(broken)

    def command(self) -> list[str]:
        """Answer the command line; relative, for the configuration's grammar can't quote every path."""
        return [str(self.program.path), "valkey.conf"]

    def answers(self, _pid: int, /) -> bool:
        """Whether our password is taken and the data are loaded."""
        try:
            with socket.create_connection((HOST, self._address.port), timeout=_ANSWER_S) as connection:
                connection.sendall(f"AUTH {self._address.password}\r\nPING\r\n".encode())
                replies = connection.makefile("rb")
                return [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False
