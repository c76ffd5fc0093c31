"""The machine of one step: its moves, and what must hold in each of its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentflow.domain.step import Effect
from tests.model.machine import Move
from tests.model.step.calling import arriving, calling
from tests.model.step.claiming import claiming
from tests.model.step.faults import losing, striking
from tests.model.step.recording import recording
from tests.model.step.recovering import recovering
from tests.model.step.state import FINAL, IDLE, Guards, Process, Rules, State
from tests.model.step.verifying import asking, passing


@dataclass(frozen=True)
class StepMachine:
    """One step under rules."""

    rules: Rules

    @property
    def guards(self) -> Guards:
        """The rules that hold."""
        return self.rules.guards

    @property
    def faults(self) -> int:
        """How many faults there may be."""
        return self.rules.faults

    def start(self) -> State:
        """Return a step that is pending, with its message published."""
        return State((IDLE,) * self.rules.processes, self.rules.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that processes, the world, time and faults may do."""
        seen: set[Process] = set()
        for place, process in enumerate(state.processes):
            if process not in seen:
                seen.add(process)
                yield from self._moves_of(state, place, process)
        yield from arriving(state, self.rules)
        yield from recovering(state, self.rules)
        yield from passing(state, self.rules)
        yield from losing(state)

    def _moves_of(self, state: State, place: int, process: Process) -> Iterator[Move]:
        yield from striking(state, place, process)
        if process.frozen:
            return
        yield from claiming(state, place, process, self.rules)
        yield from calling(state, place, process, self.rules)
        yield from recording(state, place, process, self.rules)
        yield from asking(state, place, process, self.rules)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: an effect twice, missing, overwritten or unknown, an outcome that changes."""
        if state.effects > 1:
            return "the effect happened twice"
        if state.overwritten:
            return "a late request has overwritten what is newer"
        if state.changed:
            return "an outcome was recorded over another"
        if state.status == "ok" and not state.effects and self.rules.effect is not Effect.READ:
            return "the step is ok, and its effect is missing"
        if state.status == "error" and state.dropped:
            return "the step failed, and nobody knows that its effect happened"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether the step has its outcome."""
        return state.status in FINAL
