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

from agentflow.client.approvals import Approvals
from agentflow.client.bulkheads import breakers_of
from agentflow.client.checking import checked_input
from agentflow.client.handle import RunHandle
from agentflow.client.outbox import Messages
from agentflow.client.submitting import (
    DeclaredAgents,
    Publisher,
    aware,
    label,
    notices,
    start_queue,
    to_jsonable,
    write_submission,
)
from agentflow.client.tools import Tools
from agentflow.client.transactions import in_transaction_of
from agentflow.declare.budget import Budget, lower_budget
from agentflow.declare.notify import Notify
from agentflow.domain.errors import (
    RunNotFound,
    WaitTimeout,
)
from agentflow.domain.hint import HintPublisher
from agentflow.services import connected
from agentflow.settings import Settings, postgres_url
from agentflow.settings import settings as settings_of_this_process
from agentflow.store import workers
from agentflow.store.database import Database, Row
from agentflow.store.reads import Reads, RunRecord, StepRecord
from agentflow.store.submissions import Submission

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from agentflow.client.operations import Operations
    from agentflow.gate.protocol import Gate

_POLL_FIRST_S = 0.02
_POLL_LONGEST_S = 0.5
_LONGEST_LABEL = 500
_GATE_TIMEOUT_S = 2.0
# A kind of message can be paused that a worker has served so lately, though none may be alive just now.
_LATELY_S = 3600.0


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
            postgres_url(database_url),
            schema=self._settings.db_schema,
            application="agentflow client",
            prepare=self._settings.prepare_statements,
        )
        self.declared = DeclaredAgents(self.database)
        self._redis_url = redis_url
        publisher = hints if hints is not None else self._broker_hints(redis_url or "")
        self._publisher = Publisher(self.database, publisher)
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
        of a person. With `session` or `connection` (SQLAlchemy's, or a psycopg2 connection) the run is part of the
        caller's transaction: it exists if that commits. Raises SubmissionRefused, of which UnknownAgent, InvalidInput,
        InputTooLarge and IdempotencyConflict are kinds; then nothing was written.
        """
        declared = self.declared.get(agent)
        checked = checked_input(agent, to_jsonable(input), declared["input_schema"], self._settings.max_input_bytes)
        theirs = in_transaction_of(session, connection, self.database)
        submission = Submission(
            run_id=str(uuid_utils.uuid7()),
            tenant=self._settings.tenant,
            user_id=label("user", user),
            agent=agent,
            agent_version=declared["version"],
            queue=declared["queue"],
            start_queue=start_queue(declared, conversation),
            input=checked,
            conversation_id=label("conversation", conversation),
            idempotency_key=label("idempotency_key", idempotency_key),
            budget=lower_budget(agent, declared["budget"], budget),
            fallback=declared["fallback"],
            on_failure=declared["on_failure"],
            notify=notices(notify, self._settings.webhook_private),
            not_before=aware(not_before),
            hinted=not_before is None and (theirs is None or theirs.tells_of_commit),
        )
        submitted = write_submission(self.database, self._publisher.publish, submission, theirs)
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

    def interventions(self, run_id: str) -> Sequence[Row]:
        """Return what people did to a run, the oldest first: act, done_by, reason, step_index, details, at."""
        return self._reads.interventions(_run_id(run_id))

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
        wanted = {"status": status, "agent": agent, "user": user, "conversation": conversation}
        return self._reads.runs(**{name: label(name, value) for name, value in wanted.items()}, most=most)

    def agents(self) -> Sequence[Row]:
        """Return the agents that workers have registered: name, version, kind, input_schema, tools, ..."""
        return self._reads.agents()

    def alerts(self, *, since: datetime | None = None, most: int = 50) -> Sequence[Row]:
        """Return what a person has to see, the newest first: cause, topic, message, run_id, count, last_at, ..."""
        return self._reads.alerts(most, since=since)

    @cached_property
    def tools(self) -> Tools:
        """The tools and models, for an operator: pause, resume, held."""
        return Tools(self.database, self._breakers, lambda: self.gate)

    @cached_property
    def messages(self) -> Messages:
        """The messages of the outbox, for an operator: list, resolve, retry."""
        return Messages(self.database, self._settings.tenant, self._publisher.hints)

    @cached_property
    def approvals(self) -> Approvals:
        """What runs ask of people, and what people say: list, get, approve, reject, answer."""
        most = self._settings.max_input_bytes
        return Approvals(self.database, self._settings.tenant, self._publisher.publish, max_answer_bytes=most)

    @cached_property
    def operations(self) -> Operations:
        """An operator's hand on runs: resolve, cancel, pause, resume, retry, fork."""
        # Whoever only submits does without the import of what decides and undoes.
        from agentflow.client.operations import Operations

        most = self._settings.max_input_bytes
        return Operations(self.database, self._settings.tenant, self._publisher.publish, max_answer_bytes=most)

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

    def _breakers(self) -> Mapping[str, tuple[str, ...]]:
        queues = self.database.atomically(lambda tx: workers.served_queues(tx, _LATELY_S))
        return breakers_of(self.agents(), queues)

    def _broker_hints(self, redis_url: str) -> HintPublisher:
        # Whoever brings hints of their own, or only reads, does without the broker's library.
        from agentflow.broker.hints import BrokerHints

        broker = BrokerHints(redis_url)
        self._open.callback(broker.close)
        return broker


def _run_id(text: str) -> str:
    try:
        return str(uuid_utils.UUID(str(text)))
    except ValueError:
        raise RunNotFound(f"{text!r} is no run id") from None
