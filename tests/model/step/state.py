"""The state of one step, of those who work on it, and of the world that it changes; and the protocol's guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agentflow.domain.step import Effect

FINAL = frozenset({"ok", "error"})
IN_DOUBT = frozenset({"verifying", "person"})

OVER_THE_WIRE = frozenset({Effect.KEYED, Effect.IDEMPOTENT, Effect.VERIFIED, Effect.UNSAFE})
PREFORK = frozenset({Effect.IDEMPOTENT, Effect.VERIFIED, Effect.UNSAFE})


class Process(NamedTuple):
    """Who works on the step, or on its verification (asking, told).

    `heard` is what its call, or its question, was answered. `settled`: it asks after all has arrived that ever will.
    """

    doing: str = "idle"
    attempt: int = 0
    heard: str = ""
    holds: bool = False
    frozen: bool = False
    settled: bool = False


IDLE = Process()


class State(NamedTuple):
    """The row, its verification (`question`), its messages; the world's side; and the faults that are left."""

    processes: tuple[Process, ...]
    faults: int
    status: str = "pending"
    attempt: int = 0
    lease: bool = False
    question: str = ""
    settled: bool = False
    messages: int = 1
    under_way: tuple[int, ...] = ()
    effects: int = 0
    overwritten: bool = False
    changed: bool = False
    dropped: bool = False


@dataclass(frozen=True)
class Guards:
    """Each rule of the protocol that can be switched off, by the section that has it."""

    claim_token: bool = True  # Claim: "a commit whose answer was lost is read again by token"
    intent: bool = True  # Claim, Before the call: the claim is committed before anything is sent
    timer: bool = True  # Before the call: a dead man's timer
    fence: bool = True  # Record: check the fence
    late_results: bool = True  # Record: a record refused by the fence is kept as evidence
    settle: bool = True  # Effect classes: `verified`, after the lease's end and `settle_s`
    lease_table: bool = True  # Effect classes: its lease may end early
    lease_wait: bool = True  # Effect classes: `idempotent`, run again, not before the lease's end
    sweeper: bool = True  # Sweeper: finds lost messages
    last_moment: bool = True  # Late arrivals: the person is told the last moment it could have been sent


@dataclass(frozen=True)
class Promises:
    """What the effect classes' tools promise, and the protocol builds on."""

    keyed: bool = True  # the other side honours the idempotency key
    idempotent: bool = True  # what an attempt sent has arrived, or never will, when its lease or its process ended
    verified: bool = True  # nothing arrives later than `settle_s` after it was sent
    answers: bool = True  # an answer of success means that it happened


@dataclass(frozen=True)
class Rules:
    """What is explored: a class of effect, how many processes and faults, under which guards and promises.

    With `verify_after` a success too is only believed once a verification has found it.
    """

    effect: Effect
    processes: int = 2
    faults: int = 2
    guards: Guards = Guards()
    promises: Promises = Promises()
    verify_after: bool = False

    @property
    def has_timer(self) -> bool:
        """True where whoever holds the lease is dead before it is over."""
        return self.guards.timer and self.effect in PREFORK


def with_process(state: State, place: int, process: Process, **changes: object) -> State:
    """Return a state with one process in another condition, and other changes."""
    processes = list(state.processes)
    processes[place] = process
    return state._replace(processes=tuple(sorted(processes)), **changes)


def without_token(state: State) -> State:
    """Return a state in which the row carries nobody's token."""
    return state._replace(processes=tuple(sorted(each._replace(holds=False) for each in state.processes)))


def published(state: State) -> int:
    """Return the messages there are after another one is published; more than two are as good as two."""
    return min(2, state.messages + 1)
