"""Resources: clients and pools that tools share, opened after the fork, one per process and bulkhead."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

from agentflow.domain.errors import DeclarationError

T = TypeVar("T")


class Resource(Generic[T]):
    """A declared resource; `ctx.use(resource)` opens it."""

    def __init__(self, opener: Callable[[], Iterator[T]]) -> None:
        if not inspect.isgeneratorfunction(opener):
            raise DeclarationError(
                f"@resource {opener.__qualname__!r} must yield its value once, like a context manager"
            )
        self.name = opener.__qualname__
        self.open = contextmanager(opener)
        self.__doc__ = opener.__doc__


def resource(opener: Callable[[], Iterator[T]]) -> Resource[T]:
    """Declare a resource: a generator function that yields it once and closes it afterwards."""
    return Resource(opener)


class OpenResources:
    """The resources that this process has open, by bulkhead."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._opened: dict[tuple[Resource[Any], str], Any] = {}
        self._lock = threading.Lock()

    def get(self, resource: Resource[T], bulkhead: str) -> T:
        """Return the instance of one bulkhead, opening it at the first use."""
        key = (resource, bulkhead)
        with self._lock:
            if key not in self._opened:
                self._opened[key] = self._stack.enter_context(resource.open())
            opened: T = self._opened[key]
            return opened

    def close(self) -> None:
        """Close what is open, newest first."""
        with self._lock:
            self._opened.clear()
            self._stack.close()
