"""Owns what happens in the demo: the worker dies between the shop's payment and its answer, and all runs end."""

from __future__ import annotations

import time

from agentflow.cli.timeline import STYLES
from examples.refunds.customers import SLOW_ORDER
from examples.refunds.desk import HelpDesk
from examples.refunds.fleet import Fleet
from examples.refunds.servers import DemoFailed, Servers
from examples.refunds.shop.ledger import Entry
from examples.refunds.story import Story, shortened

POOL = "default"

_END_S = 150.0
_POLL_S = 0.03
# The shop's log is a small file; the runs are a query.
_LOOKS_AT_SHOP = 10


class Plot:
    """Watches the shop's log and the runs, and strikes once."""

    def __init__(self, story: Story, servers: Servers, fleet: Fleet, desk: HelpDesk) -> None:
        self._story = story
        self._servers = servers
        self._fleet = fleet
        self._desk = desk
        self._struck = False
        self._asked_again = False

    def unfold(self) -> None:
        """Tell what happens until every run has ended; raise DemoFailed if one does not."""
        deadline = time.monotonic() + _END_S
        while not self._desk.all_ended:
            if time.monotonic() > deadline:
                raise DemoFailed(f"not all runs ended within {_END_S:g} s: see the logs in {self._servers.folder}")
            self._fleet.check()
            self._watch_runs()
            for _ in range(_LOOKS_AT_SHOP):
                self._watch_shop()
                time.sleep(_POLL_S)

    def _watch_runs(self) -> None:
        for customer, run in self._desk.newly_ended():
            what = run.result if run.status == "done" else (run.error or {}).get("message", run.stop_requested)
            self._story.tell(customer.name, shortened(str(what)), run.status, STYLES.get(run.status, ""))

    def _watch_shop(self) -> None:
        log = [entry for entry in self._servers.shop_log() if entry.order_id == SLOW_ORDER]
        paid = [entry for entry in log if entry.event == "paid"]
        if paid and not self._struck:
            self._struck = True
            self._strike(paid[0])
        if len(log) - len(paid) > 1 and not self._asked_again:
            self._asked_again = True
            self._story.say(
                f"The lost step runs again, under its key [bold]{log[-1].key}[/]. "
                "The shop knows that key: it pays nothing, and tells of the refund it made."
            )

    def _strike(self, paid: Entry) -> None:
        self._story.say(f"The shop has paid the refund of order {paid.order_id}, and has not answered yet.", "yellow")
        pid = self._fleet.kill(POOL)
        self._servers.empty_redis()
        self._story.say(f"[bold]kill -9 {pid}[/]: the worker is gone in the middle of the refund.", "red")
        self._story.say("[bold]FLUSHALL[/]: Redis is empty, every queued message is gone.", "red")
        pid = self._fleet.start(POOL)
        self._story.say(f"A new worker takes its place, as under any supervisor: pid {pid}.")
