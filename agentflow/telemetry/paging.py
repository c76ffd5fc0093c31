"""Paging: the services that a page goes to, and the sending, which never waits for a service longer than its timeout.

The services' URLs are secrets. They appear in no log: what is said of a service is its name, Slack say.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from agentflow.telemetry.pages import PageText

if TYPE_CHECKING:
    from apprise import NotifyBase

log = structlog.get_logger("agentflow.pager")

SEND_TIMEOUT_S = 20.0

# What these say of a request holds its address, and for many services the address is the password.
_TALKATIVE = {
    "apprise": logging.CRITICAL + 1,
    "oauthlib": logging.WARNING,
    "requests_oauthlib": logging.WARNING,
    "urllib3": logging.WARNING,
}


class Service(Protocol):
    """What can take a page. `key` tells it from others and is the same in every worker; `name` is for logs."""

    key: str
    name: str

    def take(self, page: PageText) -> bool:
        """Send a page; False, or any exception, where that failed."""
        ...


@dataclass(slots=True)
class AppriseService:
    """A service that apprise speaks to: Slack, PagerDuty, e-mail, ..."""

    key: str
    name: str
    _plugin: NotifyBase = field(repr=False)

    def take(self, page: PageText) -> bool:
        """Send a page, in the format that the service has for text."""
        # The plugin's own call: apprise's goes by a pool of threads that the process could not end without.
        taken: bool = self._plugin.notify(title=page.title, body=page.body, notify_type="failure", body_format="text")
        return taken


def open_services(urls: str) -> list[Service]:
    """Return the services of apprise's URLs. What can't be used is logged by its number and left out."""
    for name, level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(level)
    # It takes a second to import.
    from apprise import Apprise, AppriseAsset
    from apprise.utils.parse import parse_urls

    asset = AppriseAsset(app_id="agentflow", app_desc="agentflow", app_url="")
    services: list[Service] = []
    for number, url in enumerate(parse_urls(urls), 1):  # type: ignore[no-untyped-call]
        plugin = Apprise.instantiate(url, asset=asset)
        if plugin is None:
            log.error("alert_url_refused", number=number, mend="apprise can't use it: see AGENTFLOW_ALERT_URLS")
        else:
            services.append(AppriseService(_key_of(url), str(plugin.service_name), plugin))
    return services


class Sender:
    """Sends pages, to all services at once, each on a thread of its own that may be left behind."""

    def __init__(self, services: Sequence[Service], *, timeout_s: float = SEND_TIMEOUT_S) -> None:
        self.services = services
        self._timeout_s = timeout_s
        self._hung: dict[str, _Sending] = {}

    def send(self, page: PageText, already: Collection[str] = ()) -> frozenset[str]:
        """Send a page to those that have not taken it already; return the keys of all that have, by now."""
        sendings = [_Sending(each, page) for each in self.services if each.key not in already and not self._hangs(each)]
        for each in sendings:
            each.start()
        deadline = time.monotonic() + self._timeout_s
        for each in sendings:
            each.join(max(0.0, deadline - time.monotonic()))
        self._hung |= {each.service.key: each for each in sendings if each.is_alive()}
        for each in sendings:
            if not each.taken:
                log.warning("page_not_taken", service=each.service.name, error=each.error)
        return frozenset([*already, *(each.service.key for each in sendings if each.taken)])

    def _hangs(self, service: Service) -> bool:
        # One that hangs for good costs one thread, not one more with each page.
        hung = self._hung.get(service.key)
        return hung is not None and hung.is_alive()


class _Sending(threading.Thread):
    def __init__(self, service: Service, page: PageText) -> None:
        super().__init__(name="agentflow-page", daemon=True)
        self.service = service
        self.taken = False
        self.error = "no answer in time"
        self._page = page

    def run(self) -> None:
        try:
            self.taken = self.service.take(self._page)
            self.error = "refused"
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its message may hold its URL
            self.error = type(error).__name__


def _key_of(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
