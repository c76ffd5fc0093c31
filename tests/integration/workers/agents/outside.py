"""Owns the tools' outside world: a log of what arrived there, which no crash takes back, and latches."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from agentflow import Context

VARIABLE = "OUTSIDE_WORLD"
ARRIVALS = "arrivals.jsonl"
_POLL_S = 0.02


def arrive(ctx: Context, tool: str, **facts: Any) -> None:
    """Write down that a call reached the world."""
    call = {"run": ctx.run.run_id, "key": ctx.idempotency_key, "attempt": ctx.attempt}
    write(tool, **{**call, **facts})


def write(tool: str, **facts: Any) -> None:
    """Write one line, whole and on the disk before this returns."""
    line = {
        "tool": tool,
        "pid": os.getpid(),
        "worker": os.getppid(),
        "thread": threading.get_ident(),
        "at": time.time(),
        **facts,
    }
    file = os.open(folder() / ARRIVALS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, (json.dumps(line) + "\n").encode())
        os.fsync(file)
    finally:
        os.close(file)


def arrivals(tool: str) -> list[dict[str, Any]]:
    """Return the calls of a tool that reached the world, as the world has them."""
    log = folder() / ARRIVALS
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [each for each in map(json.loads, lines) if each["tool"] == tool]


def wait_at(latch: str, *, timeout_s: float = 120.0) -> None:
    """Hold this call until the test opens the latch."""
    deadline = time.monotonic() + timeout_s
    while not (folder() / latch).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the latch {latch!r} within {timeout_s:g} s")
        threading.Event().wait(_POLL_S)


def folder() -> Path:
    """Return where the world is."""
    return Path(os.environ[VARIABLE])
