"""Owns the news: what the outside world's own logs say, told as they grow."""

from __future__ import annotations

from examples.refunds.customers import SLOW_ORDER, UNANSWERED_ORDER
from examples.refunds.post import PUT_OFF
from examples.refunds.servers import Servers
from examples.refunds.shop.ledger import Entry
from examples.refunds.story import Story, dollars


class News:
    """Tells each line of the logs once, where it is worth telling."""

    def __init__(self, story: Story, servers: Servers) -> None:
        self._story = story
        self._servers = servers
        self._told_overloads = 0
        self._told_entries = 0
        self._told_letters = 0

    def tell(self) -> None:
        """Tell what is new."""
        self._tell_provider()
        self._tell_shop()
        self._tell_post()

    def _tell_provider(self) -> None:
        overloads = self._servers.overloads() or []
        for each in overloads[self._told_overloads :]:
            self._story.say(f"The model's provider is overloaded: [bold]529[/] for {each.user}.", "yellow")
        self._told_overloads = len(overloads)

    def _tell_shop(self) -> None:
        log = self._servers.shop_log()
        for place in range(self._told_entries, len(log)):
            if told := _told(log[place], log[:place]):
                self._story.say(*told)
        self._told_entries = len(log)

    def _tell_post(self) -> None:
        letters = self._servers.letters()
        for each in letters[self._told_letters :]:
            if each.event == "put off":
                what = f"The mail server puts the e-mail to {each.recipient} off: [bold]{PUT_OFF}[/], come back later."
                self._story.say(what, "yellow")
        self._told_letters = len(letters)


def _told(entry: Entry, before: list[Entry]) -> tuple[str, str] | None:
    match entry.event:
        case "refused":
            what = f"refund of order {entry.order_id}" if entry.key else f"lookup of order {entry.order_id}"
            wish = "" if entry.retry_after_s is None else f", Retry-After: {entry.retry_after_s}"
            return f"The shop turns the {what} away: [bold]{entry.status}{wish}[/].", "yellow"
        case "paid" if entry.order_id in {SLOW_ORDER, UNANSWERED_ORDER}:
            way = "wired" if entry.order_id == UNANSWERED_ORDER else "paid"
            return f"The shop has {way} the refund of order {entry.order_id}, and has not answered yet.", "yellow"
        case "asked" if entry.order_id == SLOW_ORDER and any(each.key == entry.key for each in before):
            again = f"The lost step runs again, under its key [bold]{entry.key}[/]. The shop knows that key: it pays "
            return f"{again}nothing, and tells of the refund it made.", ""
        case "sought":
            asked = f"No answer in time: did [bold]{entry.key}[/] leave? Nobody sends it again; the shop is asked."
            return f"{asked} It did." if entry.order_id else f"{asked} It did not.", ""
        case "ordered" | "declined" | "cancelled":
            return _told_of_new_order(entry)
    return None


def _told_of_new_order(entry: Entry) -> tuple[str, str]:
    match entry.event:
        case "declined":
            return f"The card for order {entry.order_id} is declined: [bold]{entry.status}[/].", "yellow"
        case "cancelled":
            return f"What was done is undone: order {entry.order_id} is cancelled.", ""
        case _:
            return f"The shop takes the new order {entry.order_id}, for {dollars(entry.amount_cents)}.", ""
