"""Verdicts: what a verification can say of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Happened(Generic[T]):
    """It did happen; `result` is what the call would have returned."""

    result: T


@dataclass(frozen=True, slots=True)
class NotHappened:
    """It did not happen, and will not any more."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The other side cannot tell; a person has to say."""

    reason: str = ""
