"""Owns the replay of recorded calls through the declared tools, without an engine: one context each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from agentflow import Agent, Context, Effect, Run, RunStatus
from agentflow.declare.resource import OpenResources
from tests.acceptance.airline.dataset import Conversation, RecordedCall


@dataclass(frozen=True, slots=True)
class Replay:
    """An agent's tools, called as the engine calls them: `transactional` ones with the recording transaction."""

    agent: Agent
    engine: Engine
    resources: OpenResources = field(default_factory=OpenResources)

    def answer_differences(self, conversation: Conversation) -> list[str]:
        """Carry out the conversation's calls and name each whose answer is not the recorded one."""
        answers = [(call, self.perform(conversation, call)) for call in conversation.calls]
        return [
            f"{conversation.conversation_id}, {call.position}: {call.name}: recorded {call.answer!r}, got {answer!r}"
            for call, answer in answers
            if answer != call.answer
        ]

    def perform(self, conversation: Conversation, call: RecordedCall) -> str:
        """Carry out one call and commit what it wrote."""
        tool = self.agent.tools[call.name]
        with self._recording(tool.effect) as connection:
            context = _context(self.agent, conversation, call, connection, self.resources)
            return str(tool.run(context, call.arguments))

    @contextmanager
    def _recording(self, effect: Effect) -> Iterator[Connection | None]:
        if effect is not Effect.TRANSACTIONAL:
            yield None
            return
        with self.engine.begin() as connection:
            yield connection


def _context(
    agent: Agent,
    conversation: Conversation,
    call: RecordedCall,
    connection: Connection | None,
    resources: OpenResources,
) -> Context:
    run = Run(
        run_id=conversation.conversation_id,
        tenant="default",
        agent=agent.name,
        agent_version="",
        status=RunStatus.RUNNING,
        input=conversation.turns[0].message,
        conversation_id=conversation.conversation_id,
    )
    return Context(
        run=run,
        step_index=call.position,
        attempt=1,
        idempotency_key=f"{conversation.conversation_id}:{call.position}",
        deadline_at=datetime.now(UTC) + timedelta(seconds=10),
        logger=structlog.get_logger(),
        open_resource=lambda wanted: resources.get(wanted, call.name),
        recording_connection=connection,
    )
