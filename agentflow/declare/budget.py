"""Hard ceilings of a run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentflow.domain.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use at most; a run that would pass a ceiling ends, and says which.

    `steps` and `tool_calls` count what is asked for, `attempts` every try, `tokens` prompt and completion together,
    `cost_usd` the priced model calls, `time_s` wall-clock seconds from the first claim (it stands still while a person
    is waited for), `same_call` calls of one tool with the same arguments, `repairs` answers of the model that could
    not be used.
    """

    steps: int = 50
    tool_calls: int = 40
    attempts: int = 60
    tokens: int | None = None
    cost_usd: float = 1.0
    time_s: float = 900.0
    same_call: int = 5
    repairs: int = 2

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.name == "tokens":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise DeclarationError(f"Budget({each.name}={value!r}): give a finite number, zero or more")

    def as_json(self) -> dict[str, Any]:
        """Return the ceilings by name."""
        return asdict(self)
