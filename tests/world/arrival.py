"""An arrival: one request, letter or delivery that came to the outside world, as its line in a file has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FILES = ("tools.jsonl", "mail.jsonl", "hooks.jsonl", "models.jsonl")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing that came in.

    `door` is where: an effect class (`read`, `keyed`, `idempotent`, `verified`, `unsafe`), `undo`, `verify`, `mail`,
    `hook` or `model`. `name` is the tool's, the letter's Message-ID, the delivery's id, or the model's. `key` is the
    idempotency key that was shown. `effect` says that it changed the world, `body` is a digest of what was sent,
    `subject` the object that it was about (`idempotent`), or the key of what it undoes (`undo`). `answered` is what
    came back: a status, or the word of an injected fault (`hang`, `cut`, `malformed`). `at` is in seconds since 1970.
    """

    at: float
    door: str
    name: str
    key: str = ""
    effect: bool = False
    body: str = ""
    subject: str = ""
    answered: str = "200"
    fault: str | None = None


def read_arrivals(folder: Path) -> Iterator[Arrival]:
    """Read what arrived, file by file, oldest first; a line that is still being written is left out."""
    for name in FILES:
        path = folder / name
        if path.exists():
            yield from (Arrival(**json.loads(line)) for line in _whole_lines(path))


def line_of(arrival: Arrival) -> str:
    """Return an arrival's line, with its end."""
    return json.dumps(asdict(arrival)) + "\n"


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
