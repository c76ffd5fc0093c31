from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from agentflow import DeclarationError, resource
from agentflow.declare.resource import OpenResources, Resource


class Books:
    """What was opened and closed, in order."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def declare(self, name: str) -> Resource[object]:
        @resource
        def opened() -> Iterator[object]:
            self.entries.append(f"open {name}")
            yield object()
            self.entries.append(f"close {name}")

        return opened


def test_a_resource_is_opened_at_its_first_use_and_once_per_bulkhead() -> None:
    books, opened = Books(), OpenResources()
    ledger = books.declare("ledger")

    assert books.entries == []
    assert opened.get(ledger, "refund") is opened.get(ledger, "refund")
    assert opened.get(ledger, "lookup") is not opened.get(ledger, "refund")
    assert books.entries == ["open ledger", "open ledger"]


def test_resources_are_closed_the_newest_first_and_opened_anew_afterwards() -> None:
    books, opened = Books(), OpenResources()
    first, second = books.declare("first"), books.declare("second")
    opened.get(first, "a")
    opened.get(second, "a")

    opened.close()
    opened.get(first, "a")

    assert books.entries == ["open first", "open second", "close second", "close first", "open first"]


def test_threads_that_ask_at_once_get_one_instance() -> None:
    books, opened, together = Books(), OpenResources(), Barrier(8)
    ledger = books.declare("ledger")

    def ask() -> object:
        together.wait()
        return opened.get(ledger, "refund")

    with ThreadPoolExecutor(8) as threads:
        found = [each.result() for each in [threads.submit(ask) for _ in range(8)]]

    assert len(set(map(id, found))) == 1
    assert books.entries == ["open ledger"]


def test_a_resource_that_does_not_open_is_tried_again_at_the_next_use() -> None:
    doors = iter([ConnectionRefusedError("closed"), None])

    @resource
    def ledger() -> Iterator[str]:
        if closed := next(doors):
            raise closed
        yield "open"

    opened = OpenResources()
    with pytest.raises(ConnectionRefusedError):
        opened.get(ledger, "refund")

    assert opened.get(ledger, "refund") == "open"


def test_a_function_that_yields_nothing_is_refused() -> None:
    def ledger() -> str:
        return "open"

    with pytest.raises(DeclarationError, match=r"@resource .*ledger' must yield its value once"):
        resource(ledger)  # type: ignore[arg-type]
