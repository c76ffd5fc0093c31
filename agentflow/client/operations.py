"""An operator's hand on runs, from a client: resolve, cancel, pause, resume, retry, fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import uuid_utils

from agentflow.client.bulkheads import this_person
from agentflow.domain.errors import InterventionRefused, RunNotFound
from agentflow.domain.hint import Hint
from agentflow.engine.operating.cancelling import cancel
from agentflow.engine.operating.forking import Fork, fork
from agentflow.engine.operating.order import Order
from agentflow.engine.operating.pausing import pause, resume
from agentflow.engine.operating.resolving import Answer, resolve
from agentflow.engine.operating.retrying import retry
from agentflow.policy.resolution import Resolution
from agentflow.store.database import Database, Transaction

_UNSAID: Any = object()


class Operations:
    """What operators do to the runs of one tenant.

    `by` is who says so, this process's user by default, and `reason` why; both are written down with what was done.
    Raises RunNotFound, or InterventionRefused with the reason; then nothing was changed.
    """

    def __init__(
        self, database: Database, tenant: str, publish: Callable[[Hint], None], *, max_answer_bytes: int = 1_000_000
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._publish = publish
        self._max_answer_bytes = max_answer_bytes

    def resolve(
        self,
        run_id: str,
        resolution: str,
        *,
        step_index: int | None = None,
        answer: Any = _UNSAID,
        did_not_happen: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Say what became of a call in doubt; its run goes on.

        `happened`, with the `answer` that its tool would have returned; `retry`, under the same key; or `fail`, with
        `did_not_happen` where that is certain. `step_index` may be left out where one step alone is in doubt.
        """
        if resolution not in list(Resolution):
            known = ", ".join(Resolution)
            raise InterventionRefused(f"{resolution!r} says nothing of a call in doubt; say one of {known}")
        if answer is not _UNSAID and resolution != Resolution.HAPPENED:
            raise InterventionRefused(f"an answer goes with 'happened', not with {resolution!r}")
        given = None if answer is _UNSAID else Answer(answer, self._max_answer_bytes)
        order = self._order(by, reason)
        self._do(
            lambda tx: resolve(
                tx,
                _run_id(run_id),
                order,
                Resolution(resolution),
                step_index=step_index,
                answer=given,
                did_not_happen=did_not_happen,
            )
        )

    def cancel(
        self, run_id: str, *, compensate: bool = False, by: str | None = None, reason: str | None = None
    ) -> None:
        """Stop a run: what runs is recorded, what has not begun is skipped. `compensate` undoes what it did."""
        order = self._order(by, reason)
        self._do(lambda tx: cancel(tx, _run_id(run_id), order, compensate=compensate))

    def pause(self, run_id: str, *, by: str | None = None, reason: str | None = None) -> None:
        """Let a run begin nothing more; its deadline stands still once nothing of it runs."""
        order = self._order(by, reason)
        self._do(lambda tx: pause(tx, _run_id(run_id), order))

    def resume(self, run_id: str, *, by: str | None = None, reason: str | None = None) -> None:
        """Let a paused run go on."""
        order = self._order(by, reason)
        self._do(lambda tx: resume(tx, _run_id(run_id), order))

    def retry(
        self,
        run_id: str,
        *,
        step_index: int | None = None,
        budget: Mapping[str, Any] | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Take up a failed run again at the step that failed, under the same key; `budget` raises its ceilings."""
        order = self._order(by, reason)
        self._do(lambda tx: retry(tx, _run_id(run_id), order, step_index=step_index, budget=budget))

    def fork(
        self,
        run_id: str,
        from_step: int,
        *,
        model: str | None = None,
        instructions: str | None = None,
        force: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> str:
        """Begin a run anew from one of its steps, as a copy, and return the copy's id.

        The steps before are copied as they ended. `force` makes a copy that may do once more what its origin did.
        """
        order, fork_id = self._order(by, reason), str(uuid_utils.uuid7())
        wanted = Fork(from_step, model, instructions, is_forced=force)
        self._do(lambda tx: fork(tx, _run_id(run_id), order, fork_id, wanted))
        return fork_id

    def _order(self, by: str | None, reason: str | None) -> Order:
        return Order.of(self._tenant, this_person() if by is None else by, reason)

    def _do(self, body: Callable[[Transaction], Sequence[Hint]]) -> None:
        for hint in self._database.atomically(body):
            self._publish(hint)


def _run_id(text: str) -> str:
    try:
        return str(UUID(str(text)))
    except ValueError:
        raise RunNotFound(f"{text!r} is no run id; `agentflow runs list` shows them") from None
