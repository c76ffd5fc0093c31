"""Owns what people do: who is asked answers, who doubts looks it up, and some change their mind. All of it is drawn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from agentflow import Client
from agentflow.store.reads import RunRecord, StepRecord
from tests.world.arrival import Arrival, read_arrivals

PERSON = "the operator"
FOUND = "found by the operator"
IN_DOUBT = "in_doubt"
FICKLE = "user of fickle"

_THINKS_S = (0.3, 3.0)
# A request that was under way has landed by then: the latest that the world lets one is 1.5 s after it was sent.
_LANDED_S = 4.0
_APPROVED, _RESOLVED, _RETRIED, _CANCELLED = 0.8, 0.75, 0.5, 0.5
_MOST = 500

Deed = tuple[str, Callable[[], object]]


class Patience:
    """When it is time for something: a while after it was seen first."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def is_over(self, subject: str, after_s: float) -> bool:
        """True once so much time has passed since the first question about a subject."""
        return self._due.setdefault(subject, time.monotonic() + after_s) <= time.monotonic()


class Desk:
    """Those who are asked: about a call, about undoing, or anything."""

    def __init__(self, client: Client, draw: random.Random) -> None:
        self._client, self._draw, self._patience = client, draw, Patience()

    def deeds(self) -> Iterator[Deed]:
        """Yield what is said to whom."""
        approvals = self._client.approvals
        for row in approvals.list(most=_MOST):
            number, kind = str(row["approval_id"]), row["kind"]
            if not self._patience.is_over(number, self._draw.uniform(*_THINKS_S)):
                continue
            if kind == "question":
                yield "answered", partial(approvals.answer, number, "Yes.", by=PERSON)
            elif self._draw.random() < _APPROVED:
                yield f"approved {kind}", partial(approvals.approve, number, by=PERSON)
            else:
                yield f"rejected {kind}", partial(approvals.reject, number, by=PERSON, reason="not this time")


class Doubters:
    """Those who end doubts, of calls and of messages, by what the world's files say; `left` are those they leave."""

    def __init__(self, client: Client, world: Path, draw: random.Random) -> None:
        self._client, self._world, self._draw, self._patience = client, world, draw, Patience()
        self._taken: set[str] = set()
        self.left: set[str] = set()

    def deeds(self) -> Iterator[Deed]:
        """Yield what is said, once nothing of the call or message can arrive any more."""
        for run in self._client.list(status="waiting_human", most=_MOST):
            if run.waiting_reason == IN_DOUBT:
                for step in self._client.steps(run.run_id):
                    if step.status == IN_DOUBT and step.waiting_reason == IN_DOUBT and has_landed(step, time.time()):
                        yield from self._of_a_call(run.run_id, step)
        for row in self._client.messages.list(status=IN_DOUBT, most=_MOST):
            if self._patience.is_over(str(row["message_id"]), _LANDED_S):
                yield from self._of_a_message(str(row["message_id"]))

    def _of_a_call(self, run_id: str, step: StepRecord) -> Iterator[Deed]:
        if not self._is_taken_on(f"{run_id}/{step.step_index}/{step.attempt}"):
            return
        resolve = partial(self._client.operations.resolve, run_id, step_index=step.step_index, by=PERSON)
        if any(each.key == step.idempotency_key for each in self._effects(step.effect)):
            yield "resolved happened", partial(resolve, "happened", answer=FOUND, reason="the world says so")
        elif self._draw.random() < _RETRIED:
            yield "resolved retry", partial(resolve, "retry", reason="the world knows nothing of it")
        else:
            why = "the world knows nothing of it"
            yield "resolved fail", partial(resolve, "fail", did_not_happen=True, reason=why)

    def _of_a_message(self, number: str) -> Iterator[Deed]:
        if not self._is_taken_on(number):
            return
        messages = self._client.messages
        if any(number in each.name for each in self._effects("mail", "hook")):
            yield "message resolved sent", partial(messages.resolve, number, "sent", reason="it came", by=PERSON)
        else:
            yield "message resent", partial(messages.retry, number, reason="it never came", by=PERSON)

    def _is_taken_on(self, subject: str) -> bool:
        """Decide once of each doubt whether it is ended, or left for ever."""
        if subject not in self._taken and self._draw.random() >= _RESOLVED:
            self.left.add(subject)
        self._taken.add(subject)
        return subject not in self.left

    def _effects(self, *doors: str) -> Iterator[Arrival]:
        return (each for each in read_arrivals(self._world) if each.effect and each.door in doors)


class Fickle:
    """Those who change their mind about runs of their own: have them stopped and undone, or stand still for a while."""

    def __init__(self, client: Client, draw: random.Random) -> None:
        self._client, self._draw, self._patience = client, draw, Patience()
        self._seen: set[str] = set()

    def deeds(self) -> Iterator[Deed]:
        """Yield what is done to whom."""
        for run in self._client.list(user=FICKLE, most=_MOST):
            if not run.is_final and self._patience.is_over(
                f"{run.run_id} {run.status}", self._draw.uniform(*_THINKS_S)
            ):
                yield from self._of_a_run(run)

    def _of_a_run(self, run: RunRecord) -> Iterator[Deed]:
        operations = self._client.operations
        if run.status == "paused":
            yield "resumed", partial(operations.resume, run.run_id, by=PERSON)
        elif run.run_id not in self._seen:
            self._seen.add(run.run_id)
            if self._draw.random() < _CANCELLED:
                yield "cancelled", partial(operations.cancel, run.run_id, compensate=True, by=PERSON)
            else:
                yield "paused", partial(operations.pause, run.run_id, by=PERSON)


def has_landed(step: StepRecord, now: float) -> bool:
    """True once nothing of a call in doubt can be under way any more."""
    sent_until = (step.error or {}).get("sent_until")
    return sent_until is None or datetime.fromisoformat(sent_until).timestamp() + _LANDED_S < now
