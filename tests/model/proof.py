"""What is explored, how many states that has to come to, and which guards must be missed.

The counts are pinned, so that no machine can shrink unnoticed: who changes a machine looks at each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agentflow.domain.step import Effect
from tests.model.approval import ApprovalMachine
from tests.model.budget import BudgetMachine
from tests.model.continuing import explored
from tests.model.explorer import STUCK
from tests.model.heartbeat import HeartbeatMachine
from tests.model.join import JoinMachine
from tests.model.key import KeyMachine
from tests.model.machine import Machine
from tests.model.outbox.machine import OutboxMachine
from tests.model.step.machine import StepMachine
from tests.model.step.state import Guards, Promises, Rules
from tests.model.undoing import UndoingMachine

_STEP_FAULTS = 4

_STEP_STATES = {
    Effect.READ: (5_033, 14_973),
    Effect.TRANSACTIONAL: (4_051, 12_178),
    Effect.KEYED: (37_410, 162_390),
    Effect.IDEMPOTENT: (2_963, 3_897),
    Effect.VERIFIED: (11_807, 26_226),
    Effect.UNSAFE: (2_733, 3_653),
}

_DISTRUSTFUL_STATES = (5_749, 10_491)

_OTHERS = {
    JoinMachine: (476, 14_389),
    KeyMachine: (277, 1_373),
    OutboxMachine: (2_903, 12_434),
    UndoingMachine: (263, 1_534),
    BudgetMachine: (69, 992),
    ApprovalMachine: (57, 57),
    HeartbeatMachine: (788, 2_937),
}

_TWICE = "the effect happened twice"
_OVERWRITTEN = "a late request has overwritten what is newer"

# Each guard of a step, the class that is explored without it, and what must come of that.
_STEP_GUARDS = (
    ("fence", Effect.TRANSACTIONAL, _TWICE),
    ("fence", Effect.KEYED, "an outcome was recorded over another"),
    ("claim_token", Effect.UNSAFE, _TWICE),
    ("claim_token", Effect.VERIFIED, _TWICE),
    ("intent", Effect.UNSAFE, _TWICE),
    ("timer", Effect.VERIFIED, _TWICE),
    ("timer", Effect.UNSAFE, _TWICE),
    ("timer", Effect.IDEMPOTENT, _OVERWRITTEN),
    ("late_results", Effect.KEYED, "the step failed, and nobody knows that its effect happened"),
    ("settle", Effect.VERIFIED, _TWICE),
    ("lease_wait", Effect.IDEMPOTENT, _OVERWRITTEN),
    ("lease_table", Effect.IDEMPOTENT, _OVERWRITTEN),
    ("lease_table", Effect.VERIFIED, _TWICE),
    ("lease_table", Effect.UNSAFE, _TWICE),
    ("last_moment", Effect.UNSAFE, _TWICE),
    *(("sweeper", effect, STUCK) for effect in Effect),
)

_OTHER_GUARDS = (
    (JoinMachine(), "run_lock", STUCK),
    (JoinMachine(), "version", STUCK),
    (JoinMachine(), "due", STUCK),
    (JoinMachine(), "idle_timeout", STUCK),
    (KeyMachine(), "record", "the effect happened twice under one key"),
    (KeyMachine(), "own_record", STUCK),
    (KeyMachine(), "held_in_doubt", "the effect happened twice under one key"),
    (KeyMachine(), "wake", STUCK),
    (UndoingMachine(), "generation", "a run is ok, and its effect is missing"),
    (UndoingMachine(), "same_generation", _TWICE),
    (UndoingMachine(), "held", "a run was given the answer of an effect that is undone"),
    (UndoingMachine(), "owner", "a run is ok, and its effect is missing"),
    (OutboxMachine(), "sending", "a message has arrived twice"),
    (OutboxMachine(), "one_by_one", "one fault left more than one message in doubt"),
    (OutboxMachine(), "token", "a message has arrived twice"),
    (OutboxMachine(), "timer", "a message has arrived twice"),
    (OutboxMachine(), "recovery", STUCK),
    (BudgetMachine(), "reservation", "spent and reserved are over the ceiling"),
    (BudgetMachine(), "projection", "more is billed than is counted"),
    (BudgetMachine(), "release", "spent and reserved are over the ceiling"),
    (BudgetMachine(), "wake", STUCK),
    (ApprovalMachine(), "approval", "it was called with arguments that nobody approved"),
    (ApprovalMachine(), "binding", "it was called with arguments that nobody approved"),
    (ApprovalMachine(), "first_word", "a decision has changed"),
    (ApprovalMachine(), "of_step", "it was approved, and is not called"),
    (HeartbeatMachine(), "unbroken", "a live worker is judged dead"),
    (HeartbeatMachine(), "fresh_beat", "a live worker is judged dead"),
)

# What the classes' tools promise: kept by nobody else, so that who breaks it finds where the protocol's own ends.
_PROMISES = (
    ("keyed", Effect.KEYED, _TWICE),
    ("idempotent", Effect.IDEMPOTENT, _OVERWRITTEN),
    ("verified", Effect.VERIFIED, _TWICE),
    ("answers", Effect.VERIFIED, "the step is ok, and its effect is missing"),
)


@dataclass(frozen=True)
class Case:
    """A sound machine, and how many states it has."""

    name: str
    processes: int
    machine: Machine
    states: int


@dataclass(frozen=True)
class Mutant:
    """A machine without one guard, and what must be found broken in it."""

    name: str
    machine: Machine
    reason: str


def cases() -> Iterator[Case]:
    """Return every machine, with two and with three processes."""
    for effect, counts in _STEP_STATES.items():
        for processes, states in zip((2, 3), counts, strict=True):
            rules = Rules(effect, processes, _STEP_FAULTS)
            yield Case(f"step, {effect}", processes, StepMachine(rules), states)
    for processes, states in zip((2, 3), _DISTRUSTFUL_STATES, strict=True):
        yield Case("step, verified after success", processes, StepMachine(_distrustful(processes)), states)
    for name, run, states in explored.runs():
        yield Case(name, run.rules.processes, run, states)
    for machine, counts in _OTHERS.items():
        for processes, states in zip((2, 3), counts, strict=True):
            yield Case(_name(machine), processes, machine(processes), states)


def mutants() -> Iterator[Mutant]:
    """Return the machines that lack one guard each."""
    for guard, effect, reason in _STEP_GUARDS:
        rules = Rules(effect, guards=replace(Guards(), **{guard: False}))
        yield Mutant(f"step, {effect}: {guard}", StepMachine(rules), reason)
    for guard, run, reason in explored.unguarded():
        yield Mutant(f"continuing: {guard}", run, reason)
    for machine, guard, reason in _OTHER_GUARDS:
        without = replace(machine, guards=replace(machine.guards, **{guard: False}))
        yield Mutant(f"{_name(type(machine))}: {guard}", without, reason)


def broken_promises() -> Iterator[Mutant]:
    """Return the machines of tools that do not keep what their class promises."""
    for promise, effect, reason in _PROMISES:
        rules = Rules(effect, promises=replace(Promises(), **{promise: False}))
        yield Mutant(f"step, {effect}: {promise}", StepMachine(rules), reason)


def _distrustful(processes: int) -> Rules:
    """A tool that is verified after its success too, and that answers with success what it did not do."""
    return Rules(Effect.VERIFIED, processes, 3, promises=Promises(answers=False), verify_after=True)


def _name(machine: type) -> str:
    return machine.__name__.removesuffix("Machine").lower()
