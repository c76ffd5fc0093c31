"""Owns what failed in the runs: each failed attempt, what was done about it, and when the next one came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentflow.domain.failure import ErrorKind
from agentflow.domain.step import VERIFY, Effect
from agentflow.store.database import Row
from agentflow.store.reads import StepRecord
from examples.refunds.desk import Case

# The log keeps milliseconds of a wait, and its two moments are written one after the other.
_ROUNDING_S = 0.002
_FOUND = {"happened": "happened", "not_happened": "did not", "unknown": "unknown"}


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that failed. `promised_s` is how long the step was parked for, `came_s` when it was tried again."""

    case: Case
    step: StepRecord
    attempt: Row
    promised_s: float | None
    came_s: float | None

    @property
    def status(self) -> int | None:
        """The HTTP status that it met."""
        return self._error.get("status")

    @property
    def what(self) -> str:
        """What it met, and the kind of failure that this is."""
        if self.attempt["status"] == "lost" or self._error.get("kind") == ErrorKind.LOST:
            return "worker lost"
        return f"{self.status or ''} {self._error.get('kind')}".strip()

    @property
    def retry_after_s(self) -> float | None:
        """For how long the other side wanted to be left alone."""
        return self._error.get("retry_after_s")

    @property
    def answer(self) -> str:
        """What was done about it."""
        if self._verdict is not None:
            return f"verified: {_FOUND[self._verdict]}"
        if self.promised_s is not None:
            return f"again after {self.promised_s:.1f} s"
        if self.attempt["status"] == "lost":
            return "again, same key" if self.step.effect == Effect.KEYED else "again"
        if self.case.run.compensation == "done":
            return "the run is undone"
        return "the model is told" if self.attempt["status"] == "error" else "a person is asked"

    @property
    def ending(self) -> str:
        """How its step ended."""
        tries = len(self.step.tries)
        return self.step.status if tries == 1 else f"{self.step.status}, try {tries}"

    @property
    def came_early(self) -> bool:
        """Whether the next attempt did not wait for its time."""
        if self.promised_s is None or self.came_s is None:
            return False
        return self.came_s + _ROUNDING_S < self.promised_s

    @property
    def _verdict(self) -> str | None:
        """What a verification found out about it."""
        if self.attempt["status"] != "in_doubt":
            return None
        about = [each for each in self.case.steps_of(VERIFY) if each.subject_index == self.step.step_index]
        return about[-1].output["verdict"] if about and about[-1].status == "ok" else None

    @property
    def _error(self) -> Row:
        return self.attempt["error"] or {}


def failures_of(cases: Sequence[Case]) -> list[Failure]:
    """Return every attempt that failed, in the order in which they did."""
    found = [failure for case in cases for step in case.steps for failure in _failures(case, step)]
    return sorted(found, key=lambda failure: failure.attempt["started_at"])


def _failures(case: Case, step: StepRecord) -> Iterator[Failure]:
    for attempt, following in pairwise([*step.tries, None]):
        if attempt is None or attempt["status"] in {"ok", "running"}:
            continue
        came_s = None
        # Of a lost attempt, what is written down is when it was noticed.
        if following is not None and attempt["status"] != "lost":
            came_s = (following["started_at"] - attempt["ended_at"]).total_seconds()
        yield Failure(case, step, attempt, (attempt["error"] or {}).get("retry_in_s"), came_s)
