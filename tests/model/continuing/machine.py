"""The machine of a run whose steps are continued: its moves, and what must hold in each of its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentflow.domain.step import Effect
from tests.model.continuing.faults import intervening, striking
from tests.model.continuing.recording import recording
from tests.model.continuing.recovering import recovering
from tests.model.continuing.starting import starting
from tests.model.continuing.state import IDLE, NONE, TOO_FAR, Guards, Process, Rules, State, Step
from tests.model.continuing.working import working
from tests.model.machine import Move
from tests.model.step.state import PREFORK


@dataclass(frozen=True)
class ContinuingMachine:
    """One run under rules."""

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
        """Return a run whose first step is pending, with its message published; or one that is not begun."""
        first = Step() if self.rules.is_fresh else Step("pending", messages=1)
        steps = (first, *[Step()] * (len(self.rules.effects) - 1))
        return State((IDLE,) * self.rules.processes, self.rules.faults, steps, is_due=self.rules.is_fresh)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that processes, time, people and faults may do."""
        seen: set[Process] = set()
        for place, process in enumerate(state.processes):
            if process not in seen:
                seen.add(process)
                yield from striking(state, place, process)
                if not process.frozen:
                    yield from starting(state, place, process, self.rules)
                    yield from working(state, place, process, self.rules)
                    yield from recording(state, place, process, self.rules)
        yield from recovering(state, self.rules)
        yield from intervening(state)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: effects twice or missing, steps begun that must not be, slots held that are not.

        A call that is about to be made by two is broken in itself where the class does not allow a repeat.
        """
        return state.wrong or self._broken_step(state) or self._broken_slot(state) or _broken_word(state)

    def _broken_step(self, state: State) -> str | None:
        for index, (effect, step) in enumerate(zip(self.rules.effects, state.steps, strict=True)):
            if step.effects > 1:
                return "the effect happened twice"
            if step.status == "ok" and not step.effects and effect is not Effect.READ:
                return "a step is ok, and its effect is missing"
            if effect in PREFORK and sum(_is_at(each, index) for each in state.processes) > 1:
                return "two processes are about to make one call"
            if state.ended == "done" and step.status != "ok":
                return "the run is done, and a step is missing"
        return None

    def _broken_slot(self, state: State) -> str | None:
        if state.in_use > self.rules.slots:
            return "more slots are held than there are"
        if any(each.doing == "idle" and each.slot != NONE for each in state.processes):
            return "a slot is held for nothing"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether the run has ended, and all slots came back."""
        return bool(state.ended) and not state.in_use


def _is_at(process: Process, index: int) -> bool:
    return process.doing == "ready" and process.step == index


def _broken_word(state: State) -> str | None:
    is_too_far = any(each.told >= TOO_FAR for each in state.processes)
    return "a process that was told to end goes on and on" if is_too_far else None
