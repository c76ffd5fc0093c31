"""Owns the blow: the worker dies between the shop's payment and its answer, the relay too, and Redis is emptied."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from examples.refunds.customers import BUSY_ORDER, SLOW_ORDER
from examples.refunds.desk import HelpDesk
from examples.refunds.fleet import Fleet
from examples.refunds.servers import Servers
from examples.refunds.shop.ledger import Entry
from examples.refunds.story import Story

STRUCK, RELAY = "default", "mail"

# The blow waits so long for a refund to be parked, in a shop that takes longer than that to answer.
_PATIENCE_S = 3.0
# E-mails are handed over in milliseconds. Killed in one of them, the relay would leave it in doubt, and for a person.
_REST_S = 3.0
_POLL_S = 0.02


class Blow:
    """Watches the shop's log, and strikes once."""

    def __init__(self, story: Story, servers: Servers, fleet: Fleet, desk: HelpDesk) -> None:
        self._story = story
        self._servers = servers
        self._fleet = fleet
        self._desk = desk
        self._has_struck = False

    def strike_at_its_time(self) -> bool:
        """Strike if it is time to; return whether that was just now."""
        if self._has_struck:
            return False
        log = self._servers.shop_log()
        paid = next((each for each in log if (each.event, each.order_id) == ("paid", SLOW_ORDER)), None)
        if paid is None or not self._is_moment(paid):
            return False
        self._has_struck = True
        self._strike()
        return True

    def _is_moment(self, paid: Entry) -> bool:
        """Whether it is time to strike: when another refund is parked, so that its wait has to survive as well."""
        waited_s = (datetime.now(UTC) - datetime.fromisoformat(paid.at)).total_seconds()
        return self._desk.is_waiting(BUSY_ORDER, "retry_rate_limited") or waited_s > _PATIENCE_S

    def _strike(self) -> None:
        pid = self._fleet.kill(STRUCK)
        self._story.say(f"[bold]kill -9 {pid}[/]: the worker is gone in the middle of the refund.", "red")
        killed = [STRUCK]
        if self._mail_comes_to_rest():
            pid = self._fleet.kill(RELAY)
            self._story.say(f"[bold]kill -9 {pid}[/]: so is the relay that sends the e-mails.", "red")
            killed.append(RELAY)
        self._servers.empty_redis()
        self._story.say("[bold]FLUSHALL[/]: Redis is empty, every queued message is gone.", "red")
        pids = [f"pid {self._fleet.start(pool)}" for pool in killed]
        self._story.say(f"New ones take their places, as under any supervisor: {', '.join(pids)}.")

    def _mail_comes_to_rest(self) -> bool:
        """Wait until the relay is between two e-mails; with the worker dead, no new one is written meanwhile."""
        deadline = time.monotonic() + _REST_S
        while not (is_at_rest := self._desk.mail_is_at_rest()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return is_at_rest
