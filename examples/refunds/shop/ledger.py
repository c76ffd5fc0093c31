"""Owns the shop's log: one file, appended and on disk before anybody is told, and all that the shop remembers."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from examples.refunds.journal import Journal, now_text, read_lines
from examples.refunds.shop.trouble import Refusal


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a refund was asked for, it was paid, or a request was turned away. A lookup has no key."""

    event: Literal["asked", "paid", "refused"]
    key: str
    order_id: str
    amount_cents: int
    at: str
    refund_id: str = ""
    status: int | None = None
    retry_after_s: int | None = None


class KeyTaken(Exception):
    """The key stands for another refund."""


class Ledger:
    """Refunds by key; a context manager that closes the file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._paid = {entry.key: entry for entry in read_log(path) if entry.event == "paid"}
        self._journal = Journal(path)

    def ask(self, key: str, order_id: str, amount_cents: int) -> None:
        """Write down that a refund was asked for, whatever comes of it."""
        with self._lock:
            self._append(Entry("asked", key, order_id, amount_cents, now_text()))

    def refuse(self, refusal: Refusal, order_id: str, key: str = "", amount_cents: int = 0) -> None:
        """Write down that a request was turned away."""
        status, wish = int(refusal.status), refusal.retry_after_s
        with self._lock:
            entry = Entry("refused", key, order_id, amount_cents, now_text(), status=status, retry_after_s=wish)
            self._append(entry)

    def pay(self, key: str, order_id: str, amount_cents: int) -> tuple[Entry, bool]:
        """Return the key's payment and whether it was made just now; raise KeyTaken where it stands for another."""
        with self._lock:
            paid = self._paid.get(key)
            if paid is None:
                earlier = sum(entry.order_id == order_id for entry in self._paid.values())
                paid = Entry("paid", key, order_id, amount_cents, now_text(), f"R-{order_id}-{earlier + 1}")
                self._append(paid)
                self._paid[key] = paid
                return paid, True
        if (paid.order_id, paid.amount_cents) != (order_id, amount_cents):
            raise KeyTaken(f"the key {key!r} stands for {paid.amount_cents} cents of order {paid.order_id}")
        return paid, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._journal.__exit__(kind, error, traceback)

    def _append(self, entry: Entry) -> None:
        self._journal.append(asdict(entry))


def read_log(path: Path) -> list[Entry]:
    """Return what is in a log."""
    return [Entry(**line) for line in read_lines(path)]
