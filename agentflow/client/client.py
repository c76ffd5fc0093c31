"""The client: it needs the database and the broker, and none of the agents' code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import uuid_utils
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agentflow.client.approvals import Approvals
from agentflow.client.bulkheads import Resumed, breakers_of, check_known, close_breakers, this_person
from agentflow.client.checking import checked_input
from agentflow.client.handle import RunHandle
from agentflow.client.transactions import InTransaction, in_transaction_of
from agentflow.declare.budget import Budget, lower_budget
from agentflow.declare.notify import Notify
from agentflow.domain.errors import (
    DatabaseUnavailable,
    InvalidInput,
    RunNotFound,
    SubmissionRefused,
    UnknownAgent,
    WaitTimeout,
)
from agentflow.domain.hint import Hint, HintPublisher, advance_hint
from agentflow.services import connected
from agentflow.settings import Settings, postgres_url
from agentflow.settings import settings as settings_of_this_process
from agentflow.store import holds
from agentflow.store.database import Database, Row, Transaction
from agentflow.store.reads import Reads, RunRecord, StepRecord
from agentflow.store.submissions import RunStatement, Submission, Submitted, submit

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from agentflow.gate.protocol import Gate

_POLL_FIRST_S = 0.02
_POLL_LONGEST_S = 0.5
_LONGEST_LABEL = 500
_GATE_TIMEOUT_S = 2.0


class Client:
    """Submits runs and reads them.

    Without URLs it takes those of the environment, and without those the embedded servers. May be shared by threads.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        hints: HintPublisher | None = None,
    ) -> None:
        self._settings = settings or settings_of_this_process()
        self._open = ExitStack()
        if database_url is None or (redis_url is None and hints is None):
            services = self._open.enter_context(connected(self._settings))
            database_url = database_url or services.database_url
            redis_url = redis_url or services.redis_url
        self.database = Database(
            postgres_url(database_url), schema=self._settings.db_schema, application="agentflow client"
        )
        self._redis_url = redis_url
        self._hints = hints if hints is not None else self._broker_hints(redis_url or "")
        self._reads = Reads(self.database, self._settings.tenant)

    def submit(
        self,
        agent: str,
        input: Any,
        *,
        idempotency_key: str | None = None,
        user: str | None = None,
        conversation: str | None = None,
        not_before: datetime | None = None,
        budget: Budget | Mapping[str, float | None] | None = None,
        notify: Notify | None = None,
        session: Session | None = None,
        connection: Connection | Any = None,
    ) -> RunHandle:
        """Submit a run and return its handle.

        `input` is JSON data or a pydantic model. The same idempotency key with the same input is the same run. Runs of
        one conversation go one at a time, in the order submitted. `budget` lowers the agent's ceilings for this run: a
        mapping names those to lower, a Budget states every one. `notify` says whom to tell of its end, and of its need
        of a person. With `session` or `connection` (SQLAlchemy's, or a psycopg2 connection) the run is part of the caller's transaction: it exists if that commits. Raises
        SubmissionRefused, of which UnknownAgent, InvalidInput, InputTooLarge and IdempotencyConflict are kinds; then
        nothing was written.
        """
        declared = self._declared(agent)
        checked = checked_input(agent, to_jsonable(input), declared["input_schema"], self._settings.max_input_bytes)
        theirs = in_transaction_of(session, connection, self.database)
        submission = Submission(
            run_id=str(uuid_utils.uuid7()),
            tenant=self._settings.tenant,
            user_id=_label("user", user),
            agent=agent,
            agent_version=declared["version"],
            queue=declared["queue"],
            input=checked,
            conversation_id=_label("conversation", conversation),
            idempotency_key=_label("idempotency_key", idempotency_key),
            budget=lower_budget(agent, declared["budget"], budget),
            fallback=declared["fallback"],
            on_failure=declared["on_failure"],
            notify=None if notify is None else notify.as_json(),
            not_before=_aware(not_before),
            hinted=not_before is None and (theirs is None or theirs.tells_of_commit),
        )
        submitted = self._write(submission, theirs)
        return RunHandle(self, submitted.run_id, created=submitted.created)

    def get(self, run_id: str) -> RunRecord:
        """Return a run as it stands; raise RunNotFound."""
        run = self._reads.run(_run_id(run_id))
        if run is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        return run

    def steps(self, run_id: str) -> Sequence[StepRecord]:
        """Return a run's steps in order."""
        return self._reads.steps(_run_id(run_id))

    def transitions(self, run_id: str) -> Sequence[Row]:
        """Return a run's changes of status, oldest first."""
        return self._reads.transitions(_run_id(run_id))

    def outbox(self, run_id: str | None = None) -> Sequence[Row]:
        """Return queued messages, of one run or of all."""
        return self._reads.outbox(None if run_id is None else _run_id(run_id))

    def list(
        self,
        *,
        status: str | None = None,
        agent: str | None = None,
        user: str | None = None,
        conversation: str | None = None,
        most: int = 50,
    ) -> Sequence[RunRecord]:
        """Return the newest runs that fit, the newest first."""
        return self._reads.runs(status=status, agent=agent, user=user, conversation=conversation, most=most)

    def agents(self) -> Sequence[Row]:
        """Return the agents that workers have registered: name, version, kind, input_schema, tools, ..."""
        return self._reads.agents()

    def alerts(self, *, since: datetime | None = None, most: int = 50) -> Sequence[Row]:
        """Return what a person has to see, the newest first: cause, topic, message, run_id, count, last_at, ..."""
        return self._reads.alerts(most, since=since)

    def pause_tool(self, name: str, *, reason: str, by: str | None = None) -> None:
        """Let no more calls of a tool, or of a model, begin: their steps wait until it is resumed.

        Calls that have begun go on. `by` is who says so, this process's user by default. Raises UnknownTool.
        """
        check_known(name, breakers_of(self.agents()))
        why, who = _required("reason", reason), _required("by", by if by is not None else this_person())
        self.database.atomically(lambda tx: holds.hold(tx, name, why, who))

    def resume_tool(self, name: str) -> Resumed:
        """Let calls of a tool or a model begin again, and close its breaker; return what there was to do.

        A client without Redis, or one whose Redis does not answer, resumes what is paused and leaves the breaker as it
        is. Raises UnknownTool for what is neither registered nor paused.
        """
        known = breakers_of(self.agents())
        was_paused = self.database.atomically(lambda tx: holds.release(tx, name))
        if not was_paused:
            check_known(name, known)
        breakers = known.get(name, (name,))
        stood = close_breakers(self.gate, breakers)
        if stood is None:
            return Resumed(was_paused, None)
        behind = [each for each, theirs in known.items() if set(theirs) & set(breakers)]
        self.database.atomically(lambda tx: holds.hasten_behind_breaker(tx, behind))
        return Resumed(was_paused, stood.breaker, stood.reason)

    def held_tools(self) -> Sequence[Row]:
        """Return what operators have paused: bulkhead (a tool's or a model's name), reason, held_by, held_at."""
        return self.database.atomically(holds.held)

    @cached_property
    def approvals(self) -> Approvals:
        """What runs ask of people, and what people say: list, get, approve, reject, answer."""
        most = self._settings.max_input_bytes
        return Approvals(self.database, self._settings.tenant, self._publish, max_answer_bytes=most)

    @cached_property
    def gate(self) -> Gate | None:
        """The gate that the whole fleet shares; None of a client without Redis."""
        if self._redis_url is None:
            return None
        # Whoever only submits does without redis-py's import.
        from agentflow.gate.fleet import fleet_gate

        return fleet_gate(self._redis_url, self._settings.db_schema, timeout_s=_GATE_TIMEOUT_S)

    def wait(
        self, run_id: str, *, timeout_s: float | None = None, seen: Callable[[RunRecord], None] | None = None
    ) -> RunRecord:
        """Wait until a run has ended and return it; raise WaitTimeout after `timeout_s`. `seen` gets each reading."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        pause, never = _POLL_FIRST_S, Event()
        while True:
            run = self.get(run_id)
            if seen is not None:
                seen(run)
            if run.is_final:
                return run
            if end is not None and time.monotonic() + pause > end:
                raise WaitTimeout(f"run {run_id} is {run.status} after {timeout_s} s; it goes on")
            never.wait(pause)
            pause = min(_POLL_LONGEST_S, pause * 1.5)

    def close(self) -> None:
        """Close the connections; embedded servers that only this client used end."""
        self.database.close()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _broker_hints(self, redis_url: str) -> HintPublisher:
        # Celery takes a second to import: whoever brings hints of their own, or only reads, does without.
        from agentflow.broker.celery_app import broker_app
        from agentflow.broker.hints import BrokerHints

        broker = BrokerHints(broker_app(redis_url))
        self._open.callback(broker.close)
        return broker

    def _declared(self, agent: str) -> Row:
        def body(tx: Transaction) -> tuple[Row | None, list[str]]:
            declared = tx.row("agent_by_name", name=agent)
            return declared, [] if declared else [row["name"] for row in tx.rows("agent_names")]

        declared, known = self.database.atomically(body)
        if declared is None:
            names = ", ".join(map(repr, known)) or "none yet: start a worker with AGENTFLOW_AGENTS set"
            raise UnknownAgent(f"no worker has registered an agent {agent!r}; registered: {names}")
        return declared

    def _write(self, submission: Submission, theirs: InTransaction | None) -> Submitted:
        hint = advance_hint(submission.run_id, submission.queue)
        if theirs is not None:
            submitted = submit(theirs.run_statement, submission)
            if submitted.created:
                theirs.after_commit(lambda: self._publish(hint))
            return submitted

        def body(statement: RunStatement) -> Submitted:
            return submit(statement, submission)

        submitted = self.database.atomically(lambda tx: body(lambda name, values: tx.rows(name, **values)))
        if submission.hinted and submitted.created:
            self._publish(hint)
        return submitted

    def _publish(self, hint: Hint) -> None:
        if not self._hints.publish([hint]):
            # The broker does not answer: the sweeper need not wait out the hint's grace.
            try:
                self.database.atomically(lambda tx: tx.run("mark_advance_unhinted", run_id=hint.run_id))
            except DatabaseUnavailable:
                return


def to_jsonable(value: Any) -> Any:
    """Return plain data; what is none inside of it is left for the check to refuse with its place."""
    if isinstance(value, str | int | float | bool | Mapping | Sequence) or value is None:
        return value
    try:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else to_jsonable_python(value)
    except ValueError as error:
        raise InvalidInput(f"the input is no JSON data: {error}; send plain data or a pydantic model") from error


def _label(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_LABEL or not value.isprintable():
        raise SubmissionRefused(f"{name}={value!r}: give a str of 1 to {_LONGEST_LABEL} printable characters")
    return value


def _required(name: str, value: Any) -> str:
    label = _label(name, "" if value is None else value)
    assert label is not None
    return label


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise SubmissionRefused(f"not_before={moment.isoformat()!r} has no time zone; give one, UTC say")
    return moment


def _run_id(text: str) -> str:
    try:
        return str(uuid_utils.UUID(str(text)))
    except ValueError:
        raise RunNotFound(f"{text!r} is no run id") from None
