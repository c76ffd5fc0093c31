"""Responses: what is done about a failed attempt, once its kind is known and whether it happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """The step is parked in Postgres and tried again after `after_s` seconds; `reason` is what it waits for."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class RefreshCredential:
    """The credential is refreshed, once across the fleet, and the step tried again with the new one."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step ends `error`; with `alert`, a person is told."""

    alert: bool = False


@dataclass(frozen=True, slots=True)
class LeaveInDoubt:
    """Nobody can tell whether it happened, and a repeat might do it twice: the step is in doubt."""


@dataclass(frozen=True, slots=True)
class StopRun:
    """The step ends `error` and its run with it; `reason` is machine-readable. A person is told."""

    reason: str


Response = Retry | RefreshCredential | GiveUp | LeaveInDoubt | StopRun
