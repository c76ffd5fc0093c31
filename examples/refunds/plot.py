"""Owns what happens in the demo: calls are turned away, the worker dies between the shop's payment and its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from agentflow.cli.timeline import STYLES
from examples.refunds.customers import BUSY_ORDER, SLOW_ORDER
from examples.refunds.desk import HelpDesk
from examples.refunds.fleet import Fleet
from examples.refunds.servers import DemoFailed, Servers
from examples.refunds.shop.ledger import Entry
from examples.refunds.story import Story, shortened

POOL = "default"

_END_S = 150.0
_POLL_S = 0.03
# The world's logs are small files; the runs are a query.
_LOOKS_AT_WORLD = 10
# The blow waits so long for a refund to be parked, in a shop that takes longer than that to answer.
_PATIENCE_S = 3.0


class Plot:
    """Watches the world's logs and the runs, and strikes once."""

    def __init__(self, story: Story, servers: Servers, fleet: Fleet, desk: HelpDesk) -> None:
        self._story = story
        self._servers = servers
        self._fleet = fleet
        self._desk = desk
        self._told_refusals = 0
        self._told_overloads = 0
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
            for _ in range(_LOOKS_AT_WORLD):
                self._watch_provider()
                self._watch_shop()
                time.sleep(_POLL_S)

    def _watch_runs(self) -> None:
        for customer, run in self._desk.newly_ended():
            what = run.result if run.status == "done" else (run.error or {}).get("message", run.stop_requested)
            self._story.tell(customer.name, shortened(str(what)), run.status, STYLES.get(run.status, ""))

    def _watch_provider(self) -> None:
        overloads = self._servers.overloads() or []
        for each in overloads[self._told_overloads :]:
            self._story.say(f"The model's provider is overloaded: [bold]529[/] for {each.user}.", "yellow")
        self._told_overloads = len(overloads)

    def _watch_shop(self) -> None:
        log = self._servers.shop_log()
        self._tell_refusals([entry for entry in log if entry.event == "refused"])
        slow = [entry for entry in log if entry.order_id == SLOW_ORDER]
        paid = [entry for entry in slow if entry.event == "paid"]
        if paid and not self._struck and self._is_moment(paid[0]):
            self._struck = True
            self._strike(paid[0])
        if len(slow) - len(paid) > 1 and not self._asked_again:
            self._asked_again = True
            self._story.say(
                f"The lost step runs again, under its key [bold]{slow[-1].key}[/]. "
                "The shop knows that key: it pays nothing, and tells of the refund it made."
            )

    def _tell_refusals(self, refusals: Sequence[Entry]) -> None:
        for entry in refusals[self._told_refusals :]:
            what = f"refund of order {entry.order_id}" if entry.key else f"lookup of order {entry.order_id}"
            wish = "" if entry.retry_after_s is None else f", Retry-After: {entry.retry_after_s}"
            self._story.say(f"The shop turns the {what} away: [bold]{entry.status}{wish}[/].", "yellow")
        self._told_refusals = len(refusals)

    def _is_moment(self, paid: Entry) -> bool:
        """Whether it is time to strike: when another refund is parked, so that its wait has to survive as well."""
        waited_s = (datetime.now(UTC) - datetime.fromisoformat(paid.at)).total_seconds()
        return self._desk.is_waiting(BUSY_ORDER, "retry_rate_limited") or waited_s > _PATIENCE_S

    def _strike(self, paid: Entry) -> None:
        self._story.say(f"The shop has paid the refund of order {paid.order_id}, and has not answered yet.", "yellow")
        pid = self._fleet.kill(POOL)
        self._servers.empty_redis()
        self._story.say(f"[bold]kill -9 {pid}[/]: the worker is gone in the middle of the refund.", "red")
        self._story.say("[bold]FLUSHALL[/]: Redis is empty, every queued message is gone.", "red")
        pid = self._fleet.start(POOL)
        self._story.say(f"A new worker takes its place, as under any supervisor: pid {pid}.")
