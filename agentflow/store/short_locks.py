"""Changes of tables beneath those who use them: each waits shortly for its locks, gives way, and tries again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

# Whatever wants a table waits behind a statement that waits for it: so that one soon gives way, and tries again.
LOCK_TIMEOUT_S = 0.5
PATIENCE_S = 120.0
PAUSE_S = 0.5
_IN_THE_WAY = {"55P03", "40P01"}


class NoMoment(Exception):
    """Others had locks on the tables all the while."""


def give_way(connection: Connection) -> None:
    """Have this session's statements wait no longer for a lock than others can bear to wait behind them."""
    connection.execute(text(f"set lock_timeout = '{int(LOCK_TIMEOUT_S * 1000)}ms'"))
    connection.commit()


def patiently(connection: Connection, change: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Make a change, again while others are in its way; raise NoMoment after `patience_s`. A failed try is undone."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return change()
        except DBAPIError as error:
            connection.rollback()
            if getattr(error.orig, "pgcode", None) not in _IN_THE_WAY:
                raise
            if time.monotonic() > until:
                raise NoMoment from error
            threading.Event().wait(PAUSE_S)
