"""Raising a run's ceilings: an operator's word, for that run alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentflow.declare.budget import mend_of
from agentflow.domain.quoting import quoted


def raised(budget: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return the ceilings with those that are raised, or why they can't be: unknown, no amount, or lower."""
    for name, value in wanted.items():
        if name not in budget:
            return f"{quoted(name)} is no ceiling of its budget; raise one of {', '.join(budget)}"
        if (mend := mend_of(name, value)) is not None:
            return f"{name}={quoted(value)} is no ceiling; {mend}"
        old = budget[name]
        if old is None or (value is not None and value < old):
            return f"{name}={value!r} is below its ceiling of {'none' if old is None else old}; ceilings are raised"
    return {**budget, **wanted}
