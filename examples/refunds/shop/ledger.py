"""Owns the shop's log: one file, appended and on disk before anybody is told, and all that the shop remembers."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from examples.refunds.journal import Journal, now_text, read_lines
from examples.refunds.shop.trouble import Refusal

Event = Literal["asked", "paid", "refused", "sought", "ordered", "charged", "declined", "cancelled"]

_FIRST_NEW_ORDER = 5001


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what was asked for, what was done, what was turned away. `receipt` is the shop's own number for it.

    A lookup has no key; a wire's key is its reference.
    """

    event: Event
    key: str
    order_id: str
    amount_cents: int
    at: str
    receipt: str = ""
    status: int | None = None
    retry_after_s: int | None = None


class KeyTaken(Exception):
    """The key stands for another refund."""


class Ledger:
    """What was done, by key; a context manager that closes the file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._entries = read_log(path)
        self._journal = Journal(path)

    def ask(self, key: str, order_id: str, amount_cents: int) -> None:
        """Write down that money was asked for, whatever comes of it."""
        self._append(Entry("asked", key, order_id, amount_cents, now_text()))

    def refuse(self, refusal: Refusal, order_id: str, key: str = "", amount_cents: int = 0) -> None:
        """Write down that a request was turned away."""
        status, wish = int(refusal.status), refusal.retry_after_s
        self._append(Entry("refused", key, order_id, amount_cents, now_text(), status=status, retry_after_s=wish))

    def pay(self, key: str, order_id: str, amount_cents: int) -> tuple[Entry, bool]:
        """Return the key's refund and whether it was made just now; raise KeyTaken where it stands for another."""
        with self._lock:
            paid = self.find("paid", key)
            if paid is None:
                return self._append(self._payment("R", key, order_id, amount_cents)), True
        if (paid.order_id, paid.amount_cents) != (order_id, amount_cents):
            raise KeyTaken(f"the key {key!r} stands for {paid.amount_cents} cents of order {paid.order_id}")
        return paid, False

    def wire(self, reference: str, order_id: str, amount_cents: int) -> Entry:
        """Wire money, whatever was wired under that reference before."""
        with self._lock:
            return self._append(self._payment("W", reference, order_id, amount_cents))

    def seek(self, reference: str) -> Entry | None:
        """Return what was wired under a reference, and write down that somebody wanted to know."""
        found = self.find("paid", reference)
        order_id, amount_cents = (found.order_id, found.amount_cents) if found else ("", 0)
        self._append(Entry("sought", reference, order_id, amount_cents, now_text()))
        return found

    def order(self, key: str, price_cents: int) -> tuple[Entry, bool]:
        """Return the key's new order and whether it was made just now."""
        with self._lock:
            placed = self.find("ordered", key)
            if placed is not None:
                return placed, False
            order_id = str(_FIRST_NEW_ORDER + sum(entry.event == "ordered" for entry in self._entries))
            return self._append(Entry("ordered", key, order_id, price_cents, now_text())), True

    def placed(self, order_id: str) -> Entry | None:
        """Return a new order."""
        with self._lock:
            return next((each for each in self._entries if (each.event, each.order_id) == ("ordered", order_id)), None)

    def settle(self, event: Event, key: str, order: Entry, status: int | None = None) -> bool:
        """Write once per key what became of a new order; return whether that was just now."""
        with self._lock:
            if self.find(event, key) is not None:
                return False
            self._append(Entry(event, key, order.order_id, order.amount_cents, now_text(), status=status))
            return True

    def find(self, event: Event, key: str) -> Entry | None:
        """Return the first entry of that kind under a key."""
        with self._lock:
            return next((entry for entry in self._entries if (entry.event, entry.key) == (event, key)), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._journal.__exit__(kind, error, traceback)

    def _payment(self, letter: str, key: str, order_id: str, amount_cents: int) -> Entry:
        earlier = sum((each.event, each.order_id) == ("paid", order_id) for each in self._entries)
        return Entry("paid", key, order_id, amount_cents, now_text(), f"{letter}-{order_id}-{earlier + 1}")

    def _append(self, entry: Entry) -> Entry:
        with self._lock:
            self._journal.append(asdict(entry))
            self._entries.append(entry)
            return entry


def read_log(path: Path) -> list[Entry]:
    """Return what is in a log."""
    return [Entry(**line) for line in read_lines(path)]
