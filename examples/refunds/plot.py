"""Owns what happens in the demo, from the first ticket to the last e-mail."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agentflow.cli.timeline import STYLES
from examples.refunds.approver import Approver
from examples.refunds.blow import Blow
from examples.refunds.customers import CUSTOMERS, LATECOMERS, Customer
from examples.refunds.desk import HelpDesk
from examples.refunds.fleet import Fleet
from examples.refunds.leash import Leash
from examples.refunds.news import News
from examples.refunds.servers import DemoFailed, Servers
from examples.refunds.story import Story, shortened

_END_S = 150.0
_POLL_S = 0.03
# The world's logs are small files; the runs are a query.
_LOOKS_AT_WORLD = 10


class Plot:
    """Watches the world and the runs, and lets things happen at their time."""

    def __init__(self, story: Story, servers: Servers, leash: Leash, fleet: Fleet, desk: HelpDesk) -> None:
        self._story = story
        self._servers = servers
        self._fleet = fleet
        self._desk = desk
        self._news = News(story, servers)
        self._blow = Blow(story, servers, fleet, desk)
        self._approver = Approver(story, servers, leash, desk)

    def unfold(self) -> None:
        """Tell what happens until every run has ended and every e-mail is out; raise DemoFailed if one is not."""
        self._submit("The help desk submits the e-mails of {} customers:", CUSTOMERS)
        deadline = time.monotonic() + _END_S
        while self._approver.is_busy or not (self._desk.all_ended and self._desk.mail_is_delivered()):
            if time.monotonic() > deadline:
                raise DemoFailed(f"not all has ended within {_END_S:g} s: see the logs in {self._servers.folder}")
            self._fleet.check()
            self._watch_runs()
            for _ in range(_LOOKS_AT_WORLD):
                self._news.tell()
                if self._blow.strike_at_its_time():
                    self._submit("Meanwhile {} more come to the shop:", LATECOMERS)
                self._approver.attend()
                time.sleep(_POLL_S)
        self._news.tell()

    def _submit(self, said: str, customers: Sequence[Customer]) -> None:
        self._story.say(said.format(len(customers)))
        for customer, is_new in self._desk.submit(customers):
            self._story.add(
                customer.name, shortened(customer.email) if is_new else "(the same again)", customer.trouble
            )

    def _watch_runs(self) -> None:
        for customer, run in self._desk.newly_ended():
            what = run.result if run.status == "done" else (run.error or {}).get("message", run.stop_requested)
            self._story.tell(customer.name, shortened(str(what)), run.status, STYLES.get(run.status, ""))
