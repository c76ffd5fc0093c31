"""Owns the names of statements that Postgres shows without values: which of agentflow's named ones a text is."""

from __future__ import annotations

import re
from itertools import takewhile

from agentflow.store.statements import Statements

# Values: as the driver's places in a template, as Postgres's in what it counted, and as literals in both.
_VALUES = re.compile(r"%\(\w+\)s|\$\d+|'[^']*'|\b\d+\b")
# What one array or one list of rows stands for differs in length, so a text is known by how it begins.
_SHORTEST_BEGINNING = 24


class Names:
    """The named statements of one schema, without their values."""

    def __init__(self, schema: str) -> None:
        by_name = Statements.load(schema).by_name
        self._names = {_bare(text): name for name, text in by_name.items()}

    def of(self, text: str) -> str | None:
        """Return the name of the statement that the text is, or begins like more than any other; None for none."""
        bare = _bare(text)
        if exact := self._names.get(bare):
            return exact
        best = max(self._names, key=lambda known: _common(known, bare))
        return self._names[best] if _common(best, bare) >= _SHORTEST_BEGINNING else None


def _bare(text: str) -> str:
    without_comments = re.sub(r"--[^\n]*|^prepare \w+ \([^)]*\) as ", "", text)
    return " ".join(_VALUES.sub("?", without_comments).split()).lower()


def _common(first: str, second: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
