"""Owns a person at a terminal, who is asked whether large refunds may be made, and says so by the command line."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Generator, Iterator

from examples.refunds.customers import DEAR_ORDER
from examples.refunds.desk import HelpDesk
from examples.refunds.leash import Leash
from examples.refunds.servers import DemoFailed, Servers
from examples.refunds.story import Story

APPROVER = "Lena"

_SHORT_ID = 8


class Approver:
    """Looks at what is asked, and approves it, once. The demo goes on while it `is_busy`, typing."""

    def __init__(self, story: Story, servers: Servers, leash: Leash, desk: HelpDesk) -> None:
        self._story = story
        self._servers = servers
        self._leash = leash
        self._desk = desk
        self._work = self._answer()
        self.is_busy = False

    def attend(self) -> None:
        """Go on with the work as far as it goes now."""
        next(self._work, None)

    def _answer(self) -> Iterator[None]:
        while not self._desk.is_waiting(DEAR_ORDER, "approval"):
            yield
        self._story.say(f"The refund of order {DEAR_ORDER} waits for a person. No worker is held meanwhile.", "yellow")
        self.is_busy = True
        listed = yield from self._run("list", "--json")
        for asked in json.loads(listed):
            yield from self._run("approve", asked["approval_id"][:_SHORT_ID], "--by", APPROVER)
        self.is_busy = False

    def _run(self, *words: str) -> Generator[None, None, str]:
        """Run `agentflow approvals`, show it as a terminal does, and return what it printed; raise DemoFailed."""
        command, log = ["agentflow", "approvals", *words], self._servers.folder / "approvals.log"
        whole = [sys.executable, "-m", *command]
        process = self._leash.start(whole, environment=self._servers.environment, log=log, announces=True)
        while process.poll() is None:
            yield
        assert process.stdout is not None
        printed = process.stdout.read()
        if process.returncode:
            raise DemoFailed(f"{shlex.join(command)} ended with {process.returncode}: {log.read_text('utf-8')[-2000:]}")
        self._story.show_terminal(shlex.join(command), printed)
        return printed
