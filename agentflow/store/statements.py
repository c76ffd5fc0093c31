"""The named SQL statements: each stands in `sql/` under a line `-- name: purpose`.

One that is asked often is marked, `-- name (prepared): purpose`: each connection prepares it once, and then it is
neither parsed nor planned again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from agentflow.store.parameters import TYPES

_HEAD = re.compile(r"^-- (?P<name>[a-z_]+)(?P<prepared> \(prepared\))?: (?P<purpose>.+)$")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_FOLDER = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as the server knows it by name: what makes it known, how it is called, with which parameters."""

    name: str
    definition: str
    call: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements by name, for one schema; some of them can be prepared."""

    by_name: Mapping[str, str]
    prepared: Mapping[str, Prepared] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.by_name[name]

    @classmethod
    def load(cls, schema: str) -> Statements:
        """Return every statement with `{schema}` filled in."""
        texts, often = _texts()
        by_name = {name: text.replace("{schema}", f'"{schema}"') for name, text in texts.items()}
        return cls(by_name, {name: _prepared(name, by_name[name]) for name in often})


def _prepared(name: str, text: str) -> Prepared:
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    places = {parameter: f"${place}" for place, parameter in enumerate(parameters, start=1)}
    numbered = _PARAMETER.sub(lambda found: places[found[1]], text).replace("%%", "%")
    types = ", ".join(TYPES[parameter] for parameter in parameters)
    values = ", ".join("%s" for _ in parameters)
    return Prepared(name, f"prepare {name} ({types}) as {numbered}", f"execute {name} ({values})", parameters)


@lru_cache(maxsize=1)
def _texts() -> tuple[Mapping[str, str], Sequence[str]]:
    """Return each statement's text by its name, and the names of those that are asked often."""
    texts: dict[str, list[str]] = {}
    often: list[str] = []
    for path in sorted(_FOLDER.glob("*.sql")):
        current: list[str] | None = None
        for line in path.read_text(encoding="utf-8").splitlines():
            if head := _HEAD.match(line):
                current = texts.setdefault(head["name"], [])
                if head["prepared"]:
                    often.append(head["name"])
            elif current is not None:
                current.append(line)
    return {name: "\n".join(lines).strip() for name, lines in texts.items()}, often
