"""Tools that call a server which may fail, a pipeline for each class of effect, and what is seen of their tries."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from agentflow import Budget, Context, Effect, Pipeline, Unknown, tool
from agentflow.testing import Harness
from tests.integration.faulty import Answer, Arrival, Entry, FaultyServer
from tests.integration.hands import Hands

PATIENCE_S = 0.3
"""How long a tool waits for the server's answer."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify`: a client on this machine need not read the certificates of the world, which takes a while."""

_numbers = itertools.count()


class Endpoint:
    """One test's own address on a server: what it is to answer, and what arrived at it."""

    def __init__(self, server: FaultyServer) -> None:
        self._server = server
        self._path = f"/{next(_numbers)}"
        self.url = server.url + self._path

    def answers(self, *entries: Entry) -> None:
        """Say what is answered from now on, in this order; the last entry goes on for ever."""
        self.answers_at("", *entries)

    def answers_at(self, below: str, *entries: Entry) -> None:
        """Say what is answered at a path below."""
        self._server.script(self._path + below, *entries)

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """What arrived so far."""
        return self.arrivals_at("")

    def arrivals_at(self, below: str) -> Sequence[Arrival]:
        """What arrived so far at a path below."""
        return self._server.arrivals(self._path + below)


def post(ctx: Context, url: str) -> Any:
    headers = {"Idempotency-Key": ctx.idempotency_key}
    return httpx2.post(url, json={}, headers=headers, timeout=PATIENCE_S, verify=NO_TLS).raise_for_status().json()


TOOLS = {effect: tool(effect=effect, name=f"post_{effect}", timeout_s=5)(post) for effect in Effect}


@TOOLS[Effect.VERIFIED].verify
def was_posted() -> Unknown:
    return Unknown()


def posting(effect: str = "read", **budget: Any) -> Pipeline:
    """A pipeline of one call of a class."""
    return Pipeline(f"posting_{effect}", [TOOLS[Effect(effect)]], budget=Budget(**budget))


@tool(effect="read")
def fetch(url: str) -> Any:
    return httpx2.get(url, timeout=PATIENCE_S, verify=NO_TLS).raise_for_status().json()


def completion(content: str, model: str = "gpt-4o-mini") -> Answer:
    """A model's answer, as OpenAI's protocol has it."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return Answer(200, {"Content-Type": "application/json"}, body)


def begun(harness: Harness, pipeline: Pipeline, url: str) -> tuple[Hands, str]:
    """Begin a run that calls a server; half of each longest wait is drawn."""
    hands = Hands(harness, pipeline)
    hands.runtime.draw = lambda: 0.5
    return hands, hands.begin(pipeline, {"url": url})


def step_error(hands: Hands, run_id: str, step_index: int = 0) -> Mapping[str, Any]:
    """What is stored of a step's last failure."""
    error: Mapping[str, Any] = hands.step_row(run_id, step_index)["error"]
    return error


def tries(hands: Hands, run_id: str, step_index: int = 0) -> list[str]:
    """How a step's attempts ended, in order."""
    return [row["status"] for row in hands.harness.client.steps(run_id)[step_index].tries]


def wait_s(hands: Hands, run_id: str, step_index: int = 0) -> float:
    """How long after the end of its last attempt a parked step is due."""
    query = """
        select extract(epoch from s.next_attempt_at - a.ended_at)::float from agentflow.agent_steps s
        join agentflow.attempts a using (run_id, step_index, attempt)
        where run_id = %(run_id)s and step_index = %(step_index)s
    """
    return float(hands.value(query, run_id=run_id, step_index=step_index))


def make_due(hands: Hands) -> None:
    """Let the time pass for which every parked step waits."""
    hands.sql("update agentflow.agent_steps set next_attempt_at = clock_timestamp() where status = 'pending'")


def standing(hands: Hands, run_id: str) -> tuple[str, str | None]:
    """Where a run stands, and what it waits for."""
    row = hands.run_row(run_id)
    return row["status"], row["waiting_reason"]
