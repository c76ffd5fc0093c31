"""The pager: one thread in a worker's main process that tells a person of alerts.

It has a thread and a database of its own: a service that hangs must stop neither heartbeats nor the sweeper. Each look
takes at most one page by a lease, so that of all workers one sends it. A page is marked once every service took it; a
worker that dies in between leaves a lease that ends, and the page is sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from agentflow.domain.page import LeasedPage
from agentflow.store.alerts import lease_page, mark_paged, put_off_page
from agentflow.store.database import Database
from agentflow.telemetry.pages import page_text
from agentflow.telemetry.paging import SEND_TIMEOUT_S, Sender, Service

log = structlog.get_logger("agentflow.pager")

LOOK_EVERY_S = 5.0
# The sending, and then the mark, which may have to wait for the database.
LEASE_S = SEND_TIMEOUT_S + 40.0
_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 900.0
# After this many tries a page counts as sent if anybody took it: a service that is gone must not silence the others.
_MOST_TRIES = 12


class Pager:
    """One worker's pager; `open_services` is called on its thread, since that takes a while."""

    def __init__(
        self,
        database: Database,
        open_services: Callable[[], Sequence[Service]],
        *,
        period_s: float,
        api_url: str | None = None,
        send_timeout_s: float = SEND_TIMEOUT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._database = database
        self._open_services = open_services
        self._period_s = period_s
        self._api_url = api_url
        self._send_timeout_s = send_timeout_s
        self._lease_s = lease_s
        self._sender: Sender | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agentflow-pager", daemon=True)

    def start(self) -> None:
        """Start to look for pages."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a page that hangs is left to the worker that has its lease next."""
        self._stopped.set()
        self._thread.join(timeout=2)
        self._database.close()

    def page(self) -> int:
        """Send every page that is due, and return how many went out."""
        sender = self._opened()
        sent = 0
        while sender.services and not self._stopped.is_set():
            leased = self._database.glance(lambda tx: lease_page(tx, period_s=self._period_s, lease_s=self._lease_s))
            if leased is None:
                break
            sent += self._send(sender, leased)
        return sent

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.page()
            except Exception as error:  # noqa: BLE001 - whatever fails, the next look must come
                log.warning("pager_failed", error=type(error).__name__)
            self._stopped.wait(LOOK_EVERY_S)

    def _opened(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(self._open_services(), timeout_s=self._send_timeout_s)
            log.info("pager_ready", services=[each.name for each in self._sender.services])
        return self._sender

    def _send(self, sender: Sender, leased: LeasedPage) -> bool:
        taken_by = sender.send(page_text(leased.page, self._api_url), leased.taken_by)
        missed = [each.name for each in sender.services if each.key not in taken_by]
        if not missed or (taken_by and leased.tries >= _MOST_TRIES):
            if missed:
                log.error("page_given_up", topic=leased.page.topic, services=missed, tries=leased.tries)
            return self._database.atomically(lambda tx: mark_paged(tx, leased))
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (leased.tries - 1))
        log.warning("page_put_off", topic=leased.page.topic, services=missed, tries=leased.tries, pause_s=pause_s)
        self._database.atomically(lambda tx: put_off_page(tx, leased, pause_s=pause_s, taken_by=taken_by))
        return False
