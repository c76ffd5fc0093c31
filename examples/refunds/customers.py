"""Owns the customers of the demo: what each wrote, or wants to buy."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from examples.refunds.agent import Ticket
from examples.refunds.checkout import Basket
from examples.refunds.shop.orders import DECLINED_CARD

# Whose refund the shop answers late, turns away at first, and whose lookup it turns away.
SLOW_ORDER, BUSY_ORDER, DOWN_ORDER = "4417", "4431", "4440"
# Whose refund is answered too late, and whose a person has to approve.
UNANSWERED_ORDER, DEAR_ORDER = "4471", "4480"
# Whose first letter the mail server puts off.
PUT_OFF = "chen@example.com"
# How many of their first requests the model's provider turns away.
OVERLOADS = {"bruno@example.com": 1, "dana@example.com": 2}


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer. `trouble` says what is hard about the case; the ticket is submitted `times` times."""

    name: str
    order_id: str | None
    email: str
    trouble: str
    times: int = 1
    agent: str = "refunds"

    @property
    def address(self) -> str:
        """Where the customer reads the answer."""
        return f"{self.name.lower()}@example.com"

    @property
    def ticket(self) -> Ticket:
        """What the help desk hands over."""
        return Ticket(sender=self.address, customer_email=self.email, order_id=self.order_id)

    @property
    def input(self) -> BaseModel:
        """What the customer's agent is given."""
        return self.ticket

    @property
    def ticket_key(self) -> str:
        """The help desk's own number for the ticket: the same ticket submitted again is the same run."""
        return f"ticket-{self.name.lower()}"


@dataclass(frozen=True, slots=True)
class Buyer(Customer):
    """A customer who buys something. The order's number is the shop's to give."""

    item: str = ""
    price_cents: int = 0
    card: str = ""
    agent: str = "checkout"

    @property
    def input(self) -> BaseModel:
        """What is bought, and with which card."""
        return Basket(email=self.address, item=self.item, price_cents=self.price_cents, card=self.card)


def long_thread(replies: int = 700) -> str:
    """Return a customer's request on top of everything that was ever said about it, about 40,000 tokens."""
    quoted = [
        f"> On day {day}, the {who} wrote:\n"
        f"> > Thank you for your message number {day}. Please unplug the machine for {day} minutes, descale it, and\n"
        f"> > write to us again if it still drips. Your reference is {day:05d}. We value your patience.\n>"
        for day in range(replies, 0, -1)
        for who in ["support" if day % 2 else "customer"]
    ]
    return "\n".join(["It still drips. I give up: please refund order 4440, as you offered below.", "", *quoted])


CUSTOMERS = (
    Customer(
        "Ada",
        "4417",
        "Hello,\n\nthe kettle of order 4417 came with a cracked lid. I would like my money back, please.\n\nAda",
        "an ordinary one",
    ),
    Customer(
        "Bruno",
        "4431",
        "THIRD TIME I WRITE!!! The lamp (4431) is BROKEN. Refund it NOW or you hear from my lawyer!!!",
        "angry",
    ),
    Customer(
        "Chen",
        "4402",
        "Hi, I found the toaster of order 4402 in the cellar, never used. Can I still return it?",
        "too late",
    ),
    Customer("Dana", None, "😡📦💔😭🙏💸", "emoji alone"),
    Customer("Emil", None, long_thread(), "a thread of 40,000 tokens"),
    Customer("Fatou", "9999", "Bonjour, remboursez ma commande 9999 s'il vous plaît. Merci, Fatou", "no such order"),
    Customer("Greta", "4455", "The tent of 4455 leaks. We would like our money back. Greta", "her partner writes too"),
    Customer("Hugo", "4455", "Our tent leaks, order 4455! Please refund it. Hugo", "the same order as Greta"),
    Customer(
        "Ines",
        "4460",
        "Please refund the headphones, order 4460. The left side is silent.",
        "submitted twice",
        times=2,
    ),
)

# They write while the worker that was killed starts again.
LATECOMERS: tuple[Customer, ...] = (
    Customer(
        "Jonas",
        "4471",
        "The bookcase of order 4471 leans to one side. I paid by wire, please send the money back. Jonas",
        "paid by wire",
    ),
    Customer(
        "Karim",
        "4480",
        "The electric bicycle of order 4480 does not charge. I would like my $1,899 back. Karim",
        "a large amount",
    ),
    Buyer(
        "Lotte",
        None,
        "(orders a sofa for $1,199.00)",
        "a card without money",
        item="sofa",
        price_cents=119_900,
        card=DECLINED_CARD,
    ),
)
