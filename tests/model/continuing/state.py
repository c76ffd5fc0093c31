"""The state of a run, of those who continue its steps, and of the slots; and the rules of continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from agentflow.domain.step import Effect

NONE = -1

# How far a run's version has moved since a process decided: asked for something, or other steps come next now.
ASKED, OUTDATED = 1, 2
# Whether a process was told to end; and what it must not get to: more than the one step it may have been taking.
TOLD, TOO_FAR = 1, 3


class Step(NamedTuple):
    """A row, the messages that name it, and what the world has seen of it. A later attempt is as good as a second."""

    status: str = ""
    attempt: int = 0
    lease: bool = False
    messages: int = 0
    effects: int = 0


class Process(NamedTuple):
    """Who works on a step, and whether it goes on (`goes`) with the one after it.

    `holds` and `next` say that these steps' rows carry its token. `slot` is the step that it has a slot for, which it
    may have lost without knowing; `armed` says that its timer is of its step's lease.
    """

    doing: str = "idle"
    step: int = 0
    goes: bool = False
    holds: bool = False
    next: bool = False
    slot: int = NONE
    armed: bool = False
    moved: int = 0
    frozen: bool = False
    told: int = 0


IDLE = Process()


class State(NamedTuple):
    """The run: its steps, what was asked of it, how it ended; the slots of the dead; the faults that are left."""

    processes: tuple[Process, ...]
    faults: int
    steps: tuple[Step, ...]
    is_due: bool = False
    stop: str = ""
    ended: str = ""
    leaked: int = 0
    wrong: str = ""

    @property
    def in_use(self) -> int:
        """How many slots the gate has given out and not got back."""
        return self.leaked + sum(each.slot != NONE for each in self.processes)


@dataclass(frozen=True)
class Guards:
    """Rules of Continuation, and those of Gate, Claim, Before the call and Record that it leans on."""

    version: bool = True  # Continuation: lock the run, compare its version
    stop: bool = True  # Claim: the run not paused, cancelling, final: the next step is claimed under the same rule
    together: bool = True  # Continuation: then one transaction; a claim after it would have to look for itself
    fence: bool = True  # Record: check the fence
    token: bool = True  # Claim: a commit whose answer was lost is read again by token
    pending: bool = True  # Claim: it requires the step pending, whatever message names it
    timer: bool = True  # Before the call: each continued step has its own timer
    deadline: bool = True  # Before the call: the local deadline is taken before the claim was sent
    due: bool = True  # Continuation: if the version moved, record alone: the run has still to be advanced
    give_back: bool = True  # Continuation: and give the slot back
    room: bool = True  # Gate: a slot is passed on by who still has one; who does not asks for room as all do
    slot_lease: bool = True  # Gate: a slot is leased
    fresh: bool = True  # Continuation: a run is started by a transaction that finds no step of it, under its lock
    draining: bool = True  # Continuation: a draining worker does not continue


@dataclass(frozen=True)
class Rules:
    """What is explored: a run by the classes of its steps, how many processes, faults and slots, under which guards.

    A run that `is_fresh` has no step yet; another has its first, with its message.
    """

    effects: tuple[Effect, ...]
    processes: int = 2
    faults: int = 3
    slots: int = 1
    guards: Guards = Guards()
    is_fresh: bool = False

    def has_next(self, process: Process) -> bool:
        """Answer whether a step comes after the one that a process is at."""
        return process.step + 1 < len(self.effects)


def with_process(state: State, place: int, process: Process, **changes: Any) -> State:
    """Return a state with one process in another condition, and other changes."""
    processes = list(state.processes)
    processes[place] = process
    return state._replace(processes=tuple(sorted(processes)), **changes)


def with_step(state: State, index: int, **changes: Any) -> State:
    """Return a state with one step changed."""
    step = state.steps[index]._replace(**changes)
    return state._replace(steps=(*state.steps[:index], step, *state.steps[index + 1 :]))


def without_token(state: State, index: int) -> State:
    """Return a state in which a step's row carries nobody's token."""
    freed = (
        each._replace(
            holds=each.holds and each.step != index,
            next=each.next and each.step + 1 != index,
        )
        for each in state.processes
    )
    return state._replace(processes=tuple(sorted(freed)))


def moved(state: State, how: int) -> State:
    """Return a state in which the run's version has moved under all who have decided."""
    told = (
        each._replace(moved=max(each.moved, how)) if each.doing in {"decided", "unsure"} else each
        for each in state.processes
    )
    return state._replace(processes=tuple(sorted(told)))
