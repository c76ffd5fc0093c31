"""The gate's scripts: each stands in `lua/`, behind the parts that all of them share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"
_PARTS = ("keys", "breaker", "rates", "standing")


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name that the server knows it by once it has seen it."""

    text: str
    digest: str

    @classmethod
    def load(cls, name: str) -> Script:
        """Return the script of a name."""
        paths = [*(_FOLDER / "parts" / f"{part}.lua" for part in _PARTS), _FOLDER / f"{name}.lua"]
        text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ENTER = Script.load("enter")
LEAVE = Script.load("leave")
CAPACITY = Script.load("capacity")
HELD = Script.load("held")
EVICT = Script.load("evict")
HOLD_OPEN = Script.load("hold_open")
CLOSE_BREAKER = Script.load("close_breaker")
STATES = Script.load("states")
