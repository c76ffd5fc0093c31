"""Owns what the outside world remembers: its files, the answers it gave to keys, and the states of its objects."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.world.arrival import Arrival, line_of

FILE_OF = {"mail": "mail.jsonl", "hook": "hooks.jsonl", "model": "models.jsonl"}
DEDUPED = ("keyed", "undo")
ASKABLE = ("keyed", "verified")
EFFECTS = (*DEDUPED, "idempotent", "verified", "unsafe", "hook", "mail")


@dataclass(frozen=True, slots=True)
class Request:
    """What came to a door. `sent` is the body."""

    door: str
    name: str
    key: str = ""
    subject: str = ""
    sent: bytes = b""

    @property
    def digest(self) -> str:
        """A short word for the body; empty where there was none."""
        return hashlib.sha256(self.sent).hexdigest()[:16] if self.sent else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a request, and whether the world is another one now."""

    status: int
    body: dict[str, Any]
    effect: bool = False


class Books:
    """Let requests happen one by one, in the order of the lines that are written about them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, int] = {}
        self._guard = threading.Lock()
        self._count = 0
        self._answers: dict[tuple[str, str], tuple[str, Outcome]] = {}
        self._done: dict[str, list[Outcome]] = {}
        self._states: dict[str, str] = {}

    def note(self, request: Request, answered: str, fault: str | None) -> None:
        """Write down an arrival that changes nothing."""
        with self._guard:
            self._write(request, False, answered, fault)

    def do(self, request: Request, answered: str | None = None, fault: str | None = None) -> Outcome:
        """Let a request happen; its line is on disk before this returns. `answered` is by default its status."""
        with self._guard:
            outcome = self._happen(request)
            self._write(request, outcome.effect, answered or str(outcome.status), fault)
        return outcome

    def _happen(self, request: Request) -> Outcome:
        if request.door in DEDUPED:
            return self._once(request)
        if request.door == "verify":
            return self._asked(request)
        outcome = Outcome(200, self._answer(request), effect=request.door in EFFECTS)
        self._keep(request, outcome)
        if request.door == "idempotent":
            self._states[request.subject] = request.digest
        return outcome

    def _once(self, request: Request) -> Outcome:
        """Let the first request with a key happen; repeats get its answer, another request in its place is refused."""
        digest, first = self._answers.get((request.door, request.key), (request.digest, None))
        if digest != request.digest:
            return Outcome(422, {"error": f"the key {request.key!r} stood for something else"})
        if first is not None:
            return Outcome(first.status, first.body)
        outcome = Outcome(200, self._answer(request), effect=True)
        self._answers[request.door, request.key] = digest, outcome
        self._keep(request, outcome)
        return outcome

    def _asked(self, request: Request) -> Outcome:
        done = self._done.get(request.key)
        if done is None:
            return Outcome(404, {"error": "it did not happen"})
        return Outcome(200, done[0].body | {"times": len(done)})

    def _keep(self, request: Request, outcome: Outcome) -> None:
        if request.door in ASKABLE:
            self._done.setdefault(request.key, []).append(outcome)

    def _answer(self, request: Request) -> dict[str, Any]:
        self._count += 1
        answer = {"id": f"{request.name}-{self._count}", "key": request.key, "subject": request.subject}
        return answer | ({"state": self._states.get(request.subject)} if request.door == "read" else {})

    def _write(self, request: Request, effect: bool, answered: str, fault: str | None) -> None:
        arrival = Arrival(
            time.time(),
            request.door,
            request.name,
            request.key,
            effect,
            request.digest,
            request.subject,
            answered,
            fault,
        )
        file = self._open(FILE_OF.get(request.door, "tools.jsonl"))
        line = line_of(arrival).encode()
        if os.write(file, line) != len(line):
            raise OSError("the world's disk is full")
        os.fsync(file)

    def _open(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self._files[name]


def as_json(body: bytes) -> Any:
    """Read a body; None where it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None
