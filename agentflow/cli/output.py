"""Where a command writes: people's text by rich, machines' JSON plainly."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_IN_A_PIPE = 120


def console(*, errors: bool = False) -> Console:
    """Return the console: as wide as the terminal, and in a pipe as wide as COLUMNS says, without colour."""
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    columns = os.environ.get("COLUMNS", "")
    width = None if stream.isatty() else int(columns) if columns.isdecimal() and int(columns) else _WIDTH_IN_A_PIPE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Write one JSON document."""
    # Elsewhere the stream's own escapes would make of it what is no JSON.
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not is_unicode, indent=2, default=_as_json))


def _as_json(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return float(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        case frozenset() | set():
            return sorted(value)
        case _:
            return str(value)
