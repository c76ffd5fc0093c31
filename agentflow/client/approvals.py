"""Approvals and questions from a client: what people are asked, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from agentflow.client.bulkheads import this_person
from agentflow.client.submitting import label
from agentflow.domain.approval import Approval, ApprovalStatus
from agentflow.domain.errors import ApprovalNotFound, InterventionRefused, RunNotFound
from agentflow.domain.hint import Hint
from agentflow.engine import people
from agentflow.engine.people import Decided
from agentflow.store import approvals
from agentflow.store.database import Database, Row, Transaction

_SHORTEST_PREFIX, _DIGITS = 8, 32

Act = Callable[[Transaction, str], Decided]


class Approvals:
    """What runs ask of people, for one tenant.

    An approval's id may be given by its first digits, eight or more, as long as they are one's alone. `by` is who says
    so, this process's user by default.
    """

    def __init__(
        self, database: Database, tenant: str, publish: Callable[[Hint], None], *, max_answer_bytes: int = 1_000_000
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._publish = publish
        self._max_answer_bytes = max_answer_bytes

    def list(
        self, *, status: str | None = ApprovalStatus.PENDING, run_id: str | None = None, most: int = 50
    ) -> Sequence[Row]:
        """Return what people are asked, the newest first; with `status=None` also what has been decided, after that.

        Each has approval_id, run_id, step_index, agent, user_id, kind (call, question, undo), tool, asked, status,
        asked_at, expires_at, decided_at, decided_by, reason, answer, used_at.
        """
        of_run = None if run_id is None else _run_id(run_id)
        wanted = label("status", status)
        return self._database.atomically(
            lambda tx: approvals.listing(tx, self._tenant, run_id=of_run, status=wanted, most=most)
        )

    def get(self, approval_id: str) -> Row:
        """Return one approval or question as it stands; raise ApprovalNotFound."""

        def body(tx: Transaction) -> Row:
            [row] = approvals.listing(tx, self._tenant, approval_id=self._whole_id(tx, approval_id))
            return row

        return self._database.atomically(body)

    def approve(
        self, approval_id: str, *, by: str | None = None, reason: str | None = None, arguments: Any = None
    ) -> Approval:
        """Let the call be made, or what a run did be undone.

        `arguments`, where given, must be the very ones that are asked about. Raises ApprovalNotFound, or
        InterventionRefused with the reason: decided before, expired, its run over, by nobody. Then nothing was changed.
        """
        who = this_person() if by is None else by
        return self._act(
            approval_id,
            lambda tx, whole_id: people.approve(
                tx, whole_id, tenant=self._tenant, by=who, reason=reason, arguments=arguments
            ),
        )

    def reject(self, approval_id: str, *, by: str | None = None, reason: str | None = None) -> Approval:
        """Have the call not be made, or leave what a run did as it is. Whoever asked for it is told the reason."""
        who = this_person() if by is None else by
        return self._act(
            approval_id, lambda tx, whole_id: people.reject(tx, whole_id, tenant=self._tenant, by=who, reason=reason)
        )

    def answer(self, approval_id: str, answer: Any, *, by: str | None = None) -> Approval:
        """Answer a question by text or JSON data."""
        who, most = this_person() if by is None else by, self._max_answer_bytes
        return self._act(
            approval_id,
            lambda tx, whole_id: people.answer(tx, whole_id, answer, tenant=self._tenant, by=who, most_bytes=most),
        )

    def _act(self, approval_id: str, act: Act) -> Approval:
        tried: list[Decided] = []

        def body(tx: Transaction) -> Decided:
            whole_id = self._whole_id(tx, approval_id)
            if tried and _is_done(tx, tried[-1]):
                return tried[-1]
            tried.append(act(tx, whole_id))
            return tried[-1]

        decided = self._database.atomically(body)
        for hint in decided.hints:
            self._publish(hint)
        return decided.approval

    def _whole_id(self, tx: Transaction, text: str) -> str:
        digits = str(text).strip().lower().replace("-", "")
        if not _SHORTEST_PREFIX <= len(digits) <= _DIGITS or set(digits) - set("0123456789abcdef"):
            raise ApprovalNotFound(f"{text!r} is no approval's id; `agentflow approvals list` shows them")
        first, last = (str(UUID(digits.ljust(_DIGITS, rest))) for rest in "0f")
        found = approvals.between(tx, self._tenant, first, last)
        if not found:
            raise ApprovalNotFound(f"there is no approval {text!r}; `agentflow approvals list` shows those there are")
        if len(found) > 1:
            raise InterventionRefused(f"{text!r} begins the id of several approvals; give more of its digits")
        return found[0]


def _is_done(tx: Transaction, tried: Decided) -> bool:
    """Whether an earlier try at this transaction did commit, and only its answer was lost."""
    stands = approvals.read(tx, tried.approval.approval_id)
    return stands is not None and stands.decided_at == tried.approval.decided_at


def _run_id(text: str) -> str:
    try:
        return str(UUID(str(text)))
    except ValueError:
        raise RunNotFound(f"{text!r} is no run id") from None
