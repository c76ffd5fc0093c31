"""What the machines of a step are said to go through does happen in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from agentflow.domain.step import Effect
from tests.model.continuing.machine import ContinuingMachine
from tests.model.continuing.state import Rules as RunRules
from tests.model.continuing.state import State as RunState
from tests.model.explorer import explore
from tests.model.machine import Move
from tests.model.step.machine import StepMachine
from tests.model.step.state import OVER_THE_WIRE, Rules, State

_EVERYWHERE = {
    "a message is lost",
    "a message is doubled",
    "a message is refused: the step is not pending",
    "the sweeper publishes a message again",
    "the claim of attempt n is committed, its answer lost",
    "the claim of attempt n is not committed, its answer lost",
    "attempt n is read again: it was claimed",
    "attempt n records ok; its answer is lost",
    "attempt n records ok; not committed, its answer lost",
    "attempt n reads that its outcome is written",
    "the process of attempt n (claimed) is killed",
    "the process of attempt n (heard) is frozen",
    "the process of attempt n (heard) thaws",
    "the lease of attempt n ends",
    "attempt n is slow, its lease ends",
    "attempt n is taken back: its lease is over",
}
_OUTSIDE = {
    "attempt n gives up waiting",
    "the request of attempt n arrives",
    "the request of attempt n never arrives",
    "the process of attempt n (calling) is frozen",
    "the process of attempt n (waiting) is killed",
}
_EARLY = "attempt n is taken back: its heartbeat is missed, though it lives"
_REPORTED = "attempt n is taken back: its parent says that it is dead"
_BY_CLASS = {
    Effect.READ: {_EARLY, _REPORTED, "attempt n is refused by the fence"},
    Effect.TRANSACTIONAL: {_EARLY, _REPORTED, "attempt n is refused by the fence"},
    Effect.KEYED: {_EARLY, _REPORTED, "attempt n is refused by the fence"},
    Effect.IDEMPOTENT: {_REPORTED, "a message is refused: the step is not due"},
    Effect.VERIFIED: {"settle_s is over", "the verdict is recorded: did not", "the verdict is recorded: happened"},
    Effect.UNSAFE: {"a person says that it happened", "a person says that it did not happen: try again"},
}


@dataclass(frozen=True)
class Noted(StepMachine):
    """The machine of a step, which notes the names of its moves."""

    made: set[str] = field(default_factory=set, compare=False)

    def moves(self, state: State) -> Iterator[Move]:
        """Return the moves, each noted without its numbers."""
        for move in super().moves(state):
            self.made.add(re.sub(r"\d+", "n", move.name))
            yield move


@pytest.mark.parametrize("effect", Effect)
def test_a_step_goes_through_all_that_may_happen_to_its_class(effect: Effect) -> None:
    machine = Noted(Rules(effect, faults=3))

    explore(machine)

    outside = _OUTSIDE if effect in OVER_THE_WIRE else set()
    assert _EVERYWHERE | outside | _BY_CLASS[effect] <= machine.made


@pytest.mark.parametrize("effect", [Effect.VERIFIED, Effect.UNSAFE])
def test_no_lease_of_a_class_that_must_not_is_ended_early(effect: Effect) -> None:
    machine = Noted(Rules(effect, faults=3))

    explore(machine)

    assert machine.made.isdisjoint({_EARLY, _REPORTED})


_CONTINUED = {
    "step n is decided on: the slot is passed on",
    "step n is decided on: nobody shall go on from here",
    "step n is recorded, and the next one claimed",
    "step n is recorded, and the next one claimed; its answer is lost",
    "step n is recorded, and the next one claimed; not committed, its answer lost",
    "step n is read again: it is recorded, and the next one claimed",
    "step n is read again: it is recorded",
    "step n is recorded alone",
    "step n is recorded alone; its answer is lost",
    "step n is recorded, and the next one is hinted",
    "step n is recorded, and the run is done",
    "step n is refused by the fence",
    "the timer of step n is armed",
    "the timer of step n fires at once",
    "step n is hinted once more",
    "a message of step n is refused",
    "the sweeper hints step n",
    "step n is slow, its lease ends",
    "the lease of step n ends",
    "step n is taken back: its lease is over",
    "step n is taken back: its parent says that it is dead",
    "step n is taken back: its heartbeat is missed, though it lives",
    "step n is found to have happened",
    "step n is found not to have happened",
    "the slot of a dead process is given back",
    "the slot of a frozen process is given back",
    "the process of step n (decided) is killed",
    "the process of step n (claimed) is frozen",
    "the process of step n (unsure) thaws",
    "the process of step n (heard) is told to end",
    "a process that was told to end has ended",
    "other steps come next now",
    "somebody asks to cancel the run",
    "somebody asks to pause the run",
    "the run is resumed",
    "the run is stopped",
    "the run is advanced",
    "the run is advanced, and done",
}
_STARTED = {
    "the run is found to be fresh",
    "the run is not fresh any more",
    "the run is started, and step n claimed",
    "the run is started, and step n claimed; its answer is lost",
    "the run is started, and step n claimed; not committed, its answer lost",
    "the run is read again: it is started, and step n claimed",
    "the process of step n (starting) is killed",
}


@dataclass(frozen=True)
class NotedRun(ContinuingMachine):
    """The machine of a run that is continued, which notes the names of its moves."""

    made: set[str] = field(default_factory=set, compare=False)

    def moves(self, state: RunState) -> Iterator[Move]:
        """Return the moves, each noted without its numbers."""
        for move in super().moves(state):
            self.made.add(re.sub(r"\d+", "n", move.name))
            yield move


def test_a_run_that_is_continued_goes_through_all_that_may_happen_to_it() -> None:
    machine = NotedRun(RunRules((Effect.READ, Effect.UNSAFE)))

    explore(machine)

    assert machine.made >= _CONTINUED


def test_a_run_that_is_started_goes_through_all_that_may_happen_to_it() -> None:
    machine = NotedRun(RunRules((Effect.UNSAFE, Effect.READ), faults=2, is_fresh=True))

    explore(machine)

    assert machine.made >= _STARTED
