"""The named SQL statements: each stands in `sql/` under a line `-- name: purpose`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_HEAD = re.compile(r"^-- (?P<name>[a-z_]+): (?P<purpose>.+)$")
_FOLDER = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements by name, for one schema."""

    by_name: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.by_name[name]

    @classmethod
    def load(cls, schema: str) -> Statements:
        """Return every statement with `{schema}` filled in."""
        return cls({name: text.replace("{schema}", f'"{schema}"') for name, text in _texts().items()})


@lru_cache(maxsize=1)
def _texts() -> Mapping[str, str]:
    texts: dict[str, list[str]] = {}
    for path in sorted(_FOLDER.glob("*.sql")):
        current: list[str] | None = None
        for line in path.read_text(encoding="utf-8").splitlines():
            if head := _HEAD.match(line):
                current = texts.setdefault(head["name"], [])
            elif current is not None:
                current.append(line)
    return {name: "\n".join(lines).strip() for name, lines in texts.items()}
