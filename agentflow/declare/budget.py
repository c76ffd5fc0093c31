"""Hard ceilings of a run: as an agent declares them, and as a submission lowers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentflow.domain.errors import DeclarationError, SubmissionRefused
from agentflow.domain.quoting import quoted

# A number that counts, times and amounts of money can hold wherever they are stored.
_HIGHEST = 1_000_000_000
_WHOLE = frozenset({"steps", "tool_calls", "attempts", "tokens", "same_call", "repairs", "compensation_attempts"})
_MAY_BE_OPEN = frozenset({"tokens", "cost_usd"})


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use at most; a run that would pass a ceiling comes to its fallback, and says which it was.

    `steps` and `tool_calls` count what is asked for, `attempts` every try, `tokens` prompt and completion together,
    `cost_usd` the priced model calls, `time_s` wall-clock seconds from the first claim (it stands still while a person
    is waited for), `same_call` calls of one tool with the same arguments, `repairs` answers of the model that could
    not be used. What undoes a run counts against none of these but `compensation_attempts`, the tries of each
    compensation. None, of `tokens` and `cost_usd` alone, is no ceiling; a model without a price runs only where
    `cost_usd` is None.
    """

    steps: int = 50
    tool_calls: int = 40
    attempts: int = 60
    tokens: int | None = None
    cost_usd: float | None = 1.0
    time_s: float = 900.0
    same_call: int = 5
    repairs: int = 2
    compensation_attempts: int = 20

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if (mend := mend_of(each.name, value)) is not None:
                raise DeclarationError(f"Budget({each.name}={quoted(value)}): {mend}")

    def as_json(self) -> dict[str, Any]:
        """Return the ceilings by name."""
        return asdict(self)


def mend_of(name: str, value: Any) -> str | None:
    """Return what to give instead of a value that is no ceiling, None of one that is."""
    if value is None and name in _MAY_BE_OPEN:
        return None
    number = isinstance(value, int if name in _WHOLE else int | float) and not isinstance(value, bool)
    # No comparison holds for NaN.
    if number and 0 <= value <= _HIGHEST:
        return None
    kind = "whole" if name in _WHOLE else "finite"
    none = "; or None for no ceiling" if name in _MAY_BE_OPEN else ""
    return f"give a {kind} number, zero or more and at most {_HIGHEST}{none}"


def lower_budget(agent: str, declared: Mapping[str, Any], wanted: Budget | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an agent's ceilings as one submission lowers them.

    A mapping names what it lowers, a Budget states every ceiling. Raises SubmissionRefused for one that is higher than
    declared, that is no amount, or that is unknown.
    """
    if wanted is None:
        return dict(declared)
    if not isinstance(wanted, Budget | Mapping):
        raise SubmissionRefused(f"budget={quoted(wanted)}: give a mapping of the ceilings to lower, or a Budget")
    ceilings = wanted.as_json() if isinstance(wanted, Budget) else dict(wanted)
    for name, value in ceilings.items():
        if (complaint := _complaint(agent, declared, name, value)) is not None:
            hint = "; a Budget states every ceiling, a mapping those to lower" if isinstance(wanted, Budget) else ""
            raise SubmissionRefused(f"budget: {complaint}{hint}")
    return {**declared, **ceilings}


def _complaint(agent: str, declared: Mapping[str, Any], name: Any, value: Any) -> str | None:
    if name not in declared:
        return f"{quoted(name)} is no ceiling of {agent!r}; lower one of {', '.join(declared)}"
    if (mend := mend_of(name, value)) is not None:
        return f"{name}={quoted(value)} is no ceiling; {mend}"
    ceiling = declared[name]
    if ceiling is not None and (value is None or value > ceiling):
        return f"{name}={value!r} is above the {ceiling!r} that {agent!r} declares; give at most {ceiling!r}"
    return None
