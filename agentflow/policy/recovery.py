"""What becomes of a step whose attempt was lost: by the class of its effect, and by how sure its death is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentflow.domain.step import Effect

POISON_DEATHS = 3


class Evidence(StrEnum):
    """How an attempt is known to be lost. OVERRUN: its lease is over, and its worker alive; it hangs, or was frozen."""

    LEASE_OVER = "lease_over"
    OVERRUN = "overrun"
    WORKER_DEAD = "worker_dead"
    CHILD_DEAD = "child_dead"


@dataclass(frozen=True, slots=True)
class RunAgain:
    """The step is pending again, alone with what else killed its worker. `deaths` are added to its count."""

    deaths: int


@dataclass(frozen=True, slots=True)
class PutInDoubt:
    """A person has to say whether it happened."""


@dataclass(frozen=True, slots=True)
class Verify:
    """A verification has to say whether it happened. `deaths` are added to its count."""

    deaths: int


@dataclass(frozen=True, slots=True)
class Poison:
    """The step killed every worker that tried it."""

    deaths: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """The attempt may still be alive, and a repeat would do harm."""


Recovery = RunAgain | PutInDoubt | Verify | Poison | NotYet

_ENDS_EARLY: dict[Effect, frozenset[Evidence]] = {
    Effect.READ: frozenset(Evidence),
    Effect.TRANSACTIONAL: frozenset(Evidence),
    Effect.KEYED: frozenset(Evidence),
    Effect.IDEMPOTENT: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN, Evidence.CHILD_DEAD}),
    Effect.VERIFIED: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),
    Effect.UNSAFE: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),
}


def decide_lost(effect: Effect, evidence: Evidence, *, quarantined: bool, deaths: int) -> Recovery:
    """Answer what becomes of a lost attempt (the first table of the protocol).

    Only a death in quarantine, where the step was alone, counts against the step itself.
    """
    if evidence not in _ENDS_EARLY[effect]:
        return NotYet()
    if effect is Effect.UNSAFE:
        return PutInDoubt()
    own_deaths = 1 if quarantined else 0
    if effect is Effect.VERIFIED:
        return Verify(own_deaths)
    if deaths + own_deaths >= POISON_DEATHS:
        return Poison(own_deaths)
    return RunAgain(own_deaths)
