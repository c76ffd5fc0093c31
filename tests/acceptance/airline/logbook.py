"""Owns the writing of agentflow's logs as a conversation without a fault leaves them, to try the comparison on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, text

from agentflow.domain.message import Message, chain, system
from agentflow.llm.wire import read_message
from agentflow.store import tables
from tests.acceptance.airline.dataset import Conversation, Ending, Turn, policy

TENANT = "default"


@dataclass(slots=True)
class Logbook:
    """Writes through one connection, into the schema that `search_path` names."""

    connection: Connection
    _known: set[bytes] = field(default_factory=set)

    def write(self, conversation: Conversation) -> None:
        """Write the conversation's runs with their steps, tool calls and model calls."""
        messages = [system(policy()), *map(read_message, conversation.messages)]
        starts = [place for place, message in enumerate(messages) if message["role"] == "user"]
        ends = [*starts[1:], len(messages)]
        for turn, start, end in zip(conversation.turns, starts, ends, strict=False):
            self._write_run(conversation, turn, messages[:end], start)

    def _write_run(self, conversation: Conversation, turn: Turn, messages: Sequence[Message], start: int) -> None:
        acted = list(range(start + 1, len(messages)))
        failed = turn.ending is Ending.RECORDING_ENDED
        run_id = str(uuid.uuid4())
        self._insert(
            tables.agent_runs,
            run_id=run_id,
            agent="airline",
            agent_version="",
            queue="coordinator",
            status="failed" if failed else "done",
            current_step=len(acted) - (0 if failed else 1),
            input_payload=turn.message,
            input_hash=b"",
            result=turn.result,
            error={"kind": "model_failed", "message": "model: The recording ends here: ..."} if failed else None,
            conversation_id=conversation.conversation_id,
        )
        for step_index, place in enumerate(acted):
            self._write_step(run_id, step_index, messages, place)
        if failed:
            self._insert_step(run_id, len(acted), "model", {}, None)

    def _write_step(self, run_id: str, step_index: int, messages: Sequence[Message], place: int) -> None:
        said, before = messages[place], messages[place - 1]
        if said["role"] == "tool":
            arguments = before["tool_calls"][0]["arguments"]
            self._insert_step(run_id, step_index, said["name"], arguments, said["content"])
            return
        self._insert_step(run_id, step_index, "model", {}, said)
        values = {"run_id": run_id, "step_index": step_index, "attempt": 1, "model": ""}
        self._insert(tables.model_calls, **values, prompt_head=self._keep(messages[:place]), response=said)

    def _insert_step(self, run_id: str, step_index: int, tool: str, given: Any, answer: Any) -> None:
        unused = {"args_hash": b"", "agent_version": "", "task_name": "", "queue": "", "effect": "read", "timeout_s": 1}
        values = {"run_id": run_id, "step_index": step_index, "attempt": 1, "status": "ok"}
        self._insert(
            tables.agent_steps,
            **values,
            **unused,
            tool_name=tool,
            tool_input=text("cast(:given as json)").bindparams(given=given) if isinstance(given, str) else given,
            tool_output=answer,
            idempotency_key=f"{run_id}:{step_index}",
        )
        self._insert(
            tables.attempts, **values, claim_token=str(uuid.uuid4()), worker_id=str(uuid.uuid4()), worker_pid=1
        )

    def _keep(self, prompt: Iterable[Message]) -> bytes:
        bodies: list[dict[str, Any]] = [{"role": "tools", "tools": []}, *map(dict, prompt)]
        hashes = chain(bodies)
        for each, parent, body in zip(hashes, [None, *hashes], bodies, strict=False):
            if each not in self._known:
                self._known.add(each)
                self._insert(tables.messages, hash=each, parent=parent, body=body)
        return hashes[-1]

    def _insert(self, table: Any, **values: Any) -> None:
        self.connection.execute(insert(table).values(tenant=TENANT, **values))
