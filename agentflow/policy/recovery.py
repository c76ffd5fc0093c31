"""What becomes of a step whose attempt was lost: by the class of its effect, and by how sure its death is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentflow.domain.step import Effect

POISON_DEATHS = 3


class Evidence(StrEnum):
    """How an attempt is known to be lost.

    OVERRUN: its lease is over, and its worker alive; it hangs, or was frozen. RELEASED: its worker was told to end, and
    ended its process before it was done.
    """

    LEASE_OVER = "lease_over"
    OVERRUN = "overrun"
    WORKER_DEAD = "worker_dead"
    CHILD_DEAD = "child_dead"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class RunAgain:
    """The step is pending again: `alone` with what else may have killed its worker. `deaths` are added to its count."""

    deaths: int
    alone: bool = True


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
    Effect.IDEMPOTENT: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN, Evidence.CHILD_DEAD, Evidence.RELEASED}),
    Effect.VERIFIED: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),
    Effect.UNSAFE: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),
}


def decide_lost(
    effect: Effect, evidence: Evidence, *, quarantined: bool, deaths: int, lost_before: bool = False
) -> Recovery:
    """Answer what becomes of a lost attempt (the first table of the protocol).

    Only a death in quarantine, where the step was alone, counts against the step itself; a worker's own end never does.
    A child had one step, which is suspected at once. A whole worker had many: each goes back to its own queue, and is
    suspected when it is lost again.
    """
    if evidence not in _ENDS_EARLY[effect]:
        return NotYet()
    if effect is Effect.UNSAFE:
        return PutInDoubt()
    is_death = evidence is not Evidence.RELEASED
    own_deaths = 1 if quarantined and is_death else 0
    if effect is Effect.VERIFIED:
        return Verify(own_deaths)
    if deaths + own_deaths >= POISON_DEATHS:
        return Poison(own_deaths)
    is_suspected = evidence is Evidence.CHILD_DEAD or (is_death and lost_before)
    return RunAgain(own_deaths, alone=quarantined or is_suspected)
