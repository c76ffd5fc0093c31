"""Crashes on demand: the process is gone at a chosen point of a step's way, as far as the database can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentflow.domain.claim import Claim
from agentflow.domain.outcome import AttemptOutcome, Completed
from agentflow.domain.step import VERIFY


class SimulatedCrash(BaseException):
    """The worker died here. Not an Exception, so that nothing on the way can catch it as a tool's error."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that reached a tool's code and came back."""

    tool: str
    key: str
    effect: str
    attempt: int


@dataclass(slots=True)
class Witness:
    """Sees every call, and crashes once after each of the given tools (`model` for a model call), before its record."""

    crash_after: set[str] = field(default_factory=set)
    crash_before: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)

    @classmethod
    def crashing(cls, *, after: Iterable[str] = (), before: Iterable[str] = ()) -> Witness:
        """Return a witness that crashes after, or before, the first call of each of some tools."""
        return cls(set(after), set(before))

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        """Let the step go on, or crash."""
        if claim is None:
            return
        step = claim.step
        if point == "after_call" and isinstance(outcome, Completed) and step.tool_name != VERIFY:
            self.calls.append(Call(step.tool_name, step.idempotency_key, step.effect, claim.attempt))
        for at, tools in (("after_claim", self.crash_before), ("after_call", self.crash_after)):
            if point == at and step.tool_name in tools:
                tools.discard(step.tool_name)
                raise SimulatedCrash(f"{point} {step.tool_name}")
