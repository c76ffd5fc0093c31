"""Credentials: how a secret is read, and how a new one is fetched when the other side refuses it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from agentflow.domain.errors import DeclarationError

F = TypeVar("F", bound=Callable[[], object])


class Credential:
    """A declared credential; `ctx.secret(credential)` reads it.

    agentflow keeps no secrets: the function returns the secret from wherever it lives (a file, a vault), and
    `refresh` puts a new one there. A 401 refreshes once across the fleet; every other process then reads again.
    """

    def __init__(self, load: Callable[[], str]) -> None:
        if not callable(load):
            raise DeclarationError(f"@credential {load!r} is no function; decorate one that returns the secret")
        self.name: str = load.__qualname__
        self.load = load
        self.refresher: Callable[[], object] | None = None
        self.__doc__ = load.__doc__

    def refresh(self, function: F) -> F:
        """Declare how to fetch a new secret and put it where this credential is read from."""
        self.refresher = function
        return function


def credential(load: Callable[[], str]) -> Credential:
    """Declare a credential: a function without parameters that returns the secret."""
    return Credential(load)


class OpenCredentials:
    """The secrets that this process has read, each with the generation that it was read at."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()
        self._call = threading.local()

    def begin_call(self) -> None:
        """Begin a call in this thread: it has used no secret yet."""
        self._call.used = {}

    def get(self, credential: Credential, generation: Callable[[], int]) -> str:
        """Return the secret, reading it at its first use. `generation` is asked before, so that it is never too new."""
        with self._lock:
            if credential.name not in self._read:
                self._read[credential.name] = (generation(), credential.load())
            read_at, secret = self._read[credential.name]
        # Another thread of this process may have read a newer one by the time this call is answered.
        self._used[credential.name] = read_at
        return secret

    def used_generation(self, credential: Credential) -> int | None:
        """Return the generation of the secret that this thread's call was made with; None where it asked for none."""
        return self._used.get(credential.name)

    @property
    def _used(self) -> dict[str, int]:
        used: dict[str, int] = self._call.__dict__.setdefault("used", {})
        return used

    def forget(self, credential: Credential) -> None:
        """Read the secret again at its next use."""
        with self._lock:
            self._read.pop(credential.name, None)
