"""A mail server in a process of its own: it says its port, takes what comes, and says how much that was at the end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from agentflow.ports import free_port
from bench.processes import ROOT

_MESSAGE_ID = re.compile(rb"^Message-ID: *(\S+)", re.MULTILINE | re.IGNORECASE)


class MailServer:
    """The server as the benchmark sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())

    def close(self) -> dict[str, int]:
        """End it, and return how many letters arrived, and under how many ids."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        counted: dict[str, int] = json.loads(self._line())
        return counted

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def serving() -> Iterator[MailServer]:
    """Run a server for as long as the block takes."""
    command = [sys.executable, "-m", "bench.mail_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield MailServer(process)
        finally:
            process.terminate()


class _Counting:
    def __init__(self) -> None:
        self.arrived: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.arrived += _MESSAGE_ID.findall(envelope.content)
        return "250 OK"


def main() -> None:
    """Serve until the standard input ends."""
    counting = _Counting()
    controller = Controller(counting, hostname="127.0.0.1", port=free_port())
    controller.start()
    print(controller.port, flush=True)
    sys.stdin.read()
    controller.stop()
    print(json.dumps({"letters": len(counting.arrived), "ids": len(set(counting.arrived))}), flush=True)


if __name__ == "__main__":
    main()
