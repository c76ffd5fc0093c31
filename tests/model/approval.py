"""A call that a person has to approve, whose arguments change now and then before it is claimed.

The approval is a row, bound to the step and the hash of its arguments, not to the attempt: who tries again needs not
ask again, and what was approved for other arguments is not called.

    pending --claimed without a word--> asked --approved--> pending --claimed--> running --recorded--> ok
                                              --rejected, expired, other arguments--> skipped
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.machine import Move

_FINAL = frozenset({"ok", "skipped"})


class State(NamedTuple):
    """The step, its approval, the people who did not answer yet, and what was said first, and of which arguments."""

    people: int
    faults: int
    status: str = "pending"
    arguments: str = "a"
    decision: str = ""
    asked_for: str = ""
    first_word: str = ""
    called_with: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Guards:
    """Rules of Claim and Cancel, pause, retry, fork."""

    approval: bool = True  # Claim: it requires its approval given
    binding: bool = True  # Approvals are bound to step and argument hash
    first_word: bool = True  # Approvals are rows: decided once, by compare-and-set
    of_step: bool = True  # Approvals are not bound to the attempt


@dataclass(frozen=True)
class ApprovalMachine:
    """One step, and as many people as processes, who may all answer."""

    processes: int = 2
    faults: int = 3
    guards: Guards = Guards()

    def start(self) -> State:
        """Return a step that nobody was asked about yet."""
        return State(self.processes, self.faults)

    def moves(self, state: State) -> Iterator[Move]:
        """Return all that workers, people, time and faults may do."""
        if state.status == "pending":
            yield self._claim(state)
            if state.faults and state.arguments == "a":
                other = state._replace(arguments="b", faults=state.faults - 1)
                yield Move("the arguments become b", other, is_fault=True)
        if state.status == "running":
            yield from self._call(state)
        if state.decision:
            yield from self._decide(state)

    def _claim(self, state: State) -> Move:
        if not self.guards.approval or state.decision == "approved":
            if self.guards.binding and self.guards.approval and state.asked_for != state.arguments:
                return Move("it was approved for other arguments: skipped", state._replace(status="skipped"))
            return Move(f"it is claimed with {state.arguments}", state._replace(status="running"))
        if not state.decision:
            asked = state._replace(decision="open", asked_for=state.arguments, status="asked")
            return Move(f"a person is asked about {state.arguments}", asked)
        return Move(f"it is {state.decision}: skipped", state._replace(status="skipped"))

    def _call(self, state: State) -> Iterator[Move]:
        called = state.called_with | {state.arguments}
        yield Move(f"it is called with {state.arguments}", state._replace(status="ok", called_with=called))
        if state.faults:
            kept = state if self.guards.of_step else state._replace(decision="lost")
            lost = kept._replace(status="pending", faults=state.faults - 1)
            yield Move("its worker is killed before the call", lost, is_fault=True)
            after = lost._replace(called_with=called)
            yield Move("its worker is killed after the call", after, is_fault=True)

    def _decide(self, state: State) -> Iterator[Move]:
        is_open = state.decision == "open"
        if not is_open and (self.guards.first_word or state.decision == "lost" or not state.people):
            return
        for word in ("approved", "rejected", "expired"):
            approved = state.approved | {state.asked_for} if word == "approved" and is_open else state.approved
            decided = state._replace(
                decision=word,
                approved=approved,
                first_word=state.first_word or word,
                status="pending" if state.status == "asked" else state.status,
                people=state.people - 1,
            )
            yield Move(f"{state.asked_for} is {word}", decided)

    def broken(self, state: State) -> str | None:
        """Return what must not be so: a call that nobody approved, a word taken back, a person asked in vain."""
        if state.called_with - state.approved:
            return "it was called with arguments that nobody approved"
        if state.decision in {"approved", "rejected", "expired"} and state.decision != state.first_word:
            return "a decision has changed"
        if state.status == "skipped" and state.first_word == "approved" and state.asked_for == state.arguments:
            return "it was approved, and is not called"
        return None

    def is_end(self, state: State) -> bool:
        """Answer whether the step has its outcome."""
        return state.status in _FINAL
