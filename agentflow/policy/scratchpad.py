"""How the notes of steps that ran side by side come together in their run's scratchpad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ABSENT = object()


def conflicting_keys(
    snapshot: Mapping[str, Any], current: Mapping[str, Any], changes: Mapping[str, Any]
) -> Sequence[str]:
    """Answer which of a step's changed keys another step has changed since the snapshot it was handed."""
    return sorted(key for key in changes if snapshot.get(key, _ABSENT) != current.get(key, _ABSENT))


def merged(current: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the scratchpad after a step; a change to None takes the key out."""
    return {key: value for key, value in {**current, **changes}.items() if value is not None}
