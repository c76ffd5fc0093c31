"""Submitting runs: what is checked before anything is written, and in whose transaction it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agentflow.client.transactions import InTransaction
from agentflow.declare.declaration import COORDINATOR_QUEUE
from agentflow.declare.notify import Notify
from agentflow.declare.pipeline import Pipeline
from agentflow.declare.result import model_as_json
from agentflow.domain.errors import (
    DatabaseUnavailable,
    InvalidInput,
    PayloadRefused,
    SubmissionRefused,
    UnknownAgent,
)
from agentflow.domain.hint import Hint, HintPublisher, advance_hint
from agentflow.domain.quoting import quoted
from agentflow.policy.addresses import PrivateReach
from agentflow.store.database import Database, Row
from agentflow.store.submissions import Submission, Submitted, submit

_LONGEST_LABEL = 500
_KNOWN_FOR_S = 1.0

Publish = Callable[[Hint], None]


class Publisher:
    """Publishes hints after commits; what it cannot publish is left to the sweeper, without a wait."""

    def __init__(self, database: Database, hints: HintPublisher) -> None:
        self._database = database
        self.hints = hints

    def publish(self, hint: Hint) -> None:
        """Publish one hint."""
        if self.hints.publish([hint]) or hint.run_id is None:
            return
        # The broker does not answer: the sweeper need not wait out the hint's grace.
        try:
            self._database.atomically(lambda tx: tx.run("mark_advance_unhinted", run_id=hint.run_id))
        except DatabaseUnavailable:
            return


def write_submission(
    database: Database, publish: Publish, submission: Submission, theirs: InTransaction | None
) -> Submitted:
    """Write a submission, in the caller's transaction where there is one, and hint it once that has committed."""
    hint = advance_hint(submission.run_id, submission.start_queue)
    if theirs is not None:
        submitted = submit(theirs.run_statement, submission)
        if submitted.created:
            theirs.after_commit(lambda: publish(hint))
        return submitted
    submitted = database.atomically(lambda tx: submit(lambda name, values: tx.rows(name, **values), submission))
    if submission.hinted and submitted.created:
        publish(hint)
    return submitted


class DeclaredAgents:
    """What workers have registered of agents, known for a second: a client that submits often asks no more often."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[float, Row]] = {}

    def get(self, agent: str) -> Row:
        """Return an agent's newest registration; raise UnknownAgent naming those there are."""
        now = time.monotonic()
        known = self._known.get(agent) if is_label(agent) else None
        if known is not None and now < known[0]:
            return known[1]
        declared = self._ask(agent)
        self._known[agent] = (now + _KNOWN_FOR_S, declared)
        return declared

    def forget(self) -> None:
        """Ask again."""
        self._known.clear()

    def _ask(self, agent: str) -> Row:
        declared = self._database.glance(lambda tx: tx.row("agent_by_name", name=agent)) if is_label(agent) else None
        if declared is not None:
            return declared
        names = ", ".join(repr(row["name"]) for row in self._database.glance(lambda tx: tx.rows("agent_names")))
        registered = names or "none yet: start a worker with AGENTFLOW_AGENTS set"
        raise UnknownAgent(f"no worker has registered an agent {quoted(agent)}; registered: {registered}")


def start_queue(declared: Row, conversation: str | None) -> str:
    """Return the queue in which a run's start is hinted: its first step's, where that is known before it is decided.

    The step would wait there anyway, and whoever takes the hint goes on with it. A run of a conversation may have to
    wait for its turn first, and one whose agent has a queue of its own for its decisions starts from that.
    """
    queue = str(declared["queue"])
    if queue != COORDINATOR_QUEUE or conversation is not None:
        return queue
    if declared["model"]:
        return str(declared["model"]["queue"])
    return str(declared["tools"][0]["queue"]) if declared["kind"] == Pipeline.kind else queue


def to_jsonable(value: Any) -> Any:
    """Return plain data; what is none inside of it is left for the check to refuse with its place."""
    if isinstance(value, str | int | float | bool | Mapping | Sequence) or value is None:
        return value
    try:
        return model_as_json(value) if isinstance(value, BaseModel) else to_jsonable_python(value)
    except (ValueError, PayloadRefused) as error:
        raise InvalidInput(f"the input is no JSON data: {error}; send plain data or a pydantic model") from error


def label(name: str, value: Any) -> str | None:
    """Return a word that a caller gave, None for none; raise SubmissionRefused for what is no short, printable text."""
    if value is None:
        return None
    if not is_label(value):
        raise SubmissionRefused(f"{name}={quoted(value)}: give a str of 1 to {_LONGEST_LABEL} printable characters")
    word: str = value
    return word


def is_label(value: Any) -> bool:
    """Whether something can be a user, a key, a name: short, printable text. Nothing else is ever stored as one."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_LABEL and value.isprintable()


def aware(moment: datetime | None) -> datetime | None:
    """Return a moment that has a time zone; raise SubmissionRefused for one without, or one nobody could read back."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise SubmissionRefused(f"not_before={quoted(moment)} is no datetime; give one with a time zone")
    if moment.tzinfo is None:
        raise SubmissionRefused(f"not_before={moment.isoformat()!r} has no time zone; give one, UTC say")
    # In another zone the first and the last year would be ones that Python does not know, and the row not read.
    if not MINYEAR < moment.year < MAXYEAR:
        raise SubmissionRefused(f"not_before={moment.isoformat()!r} is no time to wait for; give an earlier one")
    return moment


def notices(notify: Notify | None, private: str) -> dict[str, Any] | None:
    """Return whom to tell as it is stored, None for nobody; raise SubmissionRefused for who cannot be told."""
    if notify is None:
        return None
    if not isinstance(notify, Notify):
        raise SubmissionRefused(f"notify={quoted(notify)} is no Notify; give one")
    return notify.as_json(PrivateReach.read(private))
