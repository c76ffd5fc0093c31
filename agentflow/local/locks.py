"""Owns the advisory file locks that say who lives: the kernel drops them however a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.02


@dataclass(frozen=True)
class FileLock:
    """A lock that is held for as long as its descriptor, or an inherited copy of it, is open anywhere."""

    descriptor: int

    def release(self) -> None:
        """Give up this process's hold. Closes and does not unlock: a forked child's hold stays."""
        os.close(self.descriptor)


def try_lock(path: Path, *, shared: bool = False) -> FileLock | None:
    """Take the lock if it is free."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return FileLock(descriptor)


def wait_for_lock(path: Path, *, timeout_s: float, shared: bool = False) -> FileLock | None:
    """Take the lock, waiting for its holders until the timeout; None if they keep it."""
    deadline = time.monotonic() + timeout_s
    while (lock := try_lock(path, shared=shared)) is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return lock


def block_on_lock(path: Path) -> FileLock:
    """Take the lock, waiting for its holders for ever."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return FileLock(descriptor)


def is_locked(path: Path) -> bool:
    """Whether someone holds the lock exclusively at this moment."""
    if not path.exists():
        return False
    lock = try_lock(path, shared=True)
    if lock is not None:
        lock.release()
    return lock is None
