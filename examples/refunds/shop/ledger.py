"""Owns the shop's log: one file, appended and on disk before anybody is told, and all that the shop remembers."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: a refund was asked for, or it was paid."""

    event: Literal["asked", "paid"]
    key: str
    order_id: str
    amount_cents: int
    at: str
    refund_id: str = ""


class KeyTaken(Exception):
    """The key stands for another refund."""


class Ledger:
    """Refunds by key; a context manager that closes the file. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._paid = {entry.key: entry for entry in read_log(path) if entry.event == "paid"}
        self._file = path.open("a", encoding="utf-8")

    def ask(self, key: str, order_id: str, amount_cents: int) -> None:
        """Write down that a refund was asked for, whatever comes of it."""
        with self._lock:
            self._append(Entry("asked", key, order_id, amount_cents, _now()))

    def pay(self, key: str, order_id: str, amount_cents: int) -> tuple[Entry, bool]:
        """Return the key's payment and whether it was made just now; raise KeyTaken where it stands for another."""
        with self._lock:
            paid = self._paid.get(key)
            if paid is None:
                earlier = sum(entry.order_id == order_id for entry in self._paid.values())
                paid = Entry("paid", key, order_id, amount_cents, _now(), f"R-{order_id}-{earlier + 1}")
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
        self._file.close()

    def _append(self, entry: Entry) -> None:
        self._file.write(json.dumps(asdict(entry)) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_log(path: Path) -> list[Entry]:
    """Return what is in a log; a line that is still being written is not."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [Entry(**json.loads(line)) for line in lines]


def _now() -> str:
    return datetime.now(UTC).isoformat()
