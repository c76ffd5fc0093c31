"""Preparing a model call under its run's lock: what is asked, and what it may cost at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from agentflow.declare.agent import OUTPUT_LIMITS, Agent
from agentflow.declare.fallback import Model
from agentflow.domain import message
from agentflow.domain.claim import LockedStep
from agentflow.domain.failure import ErrorKind
from agentflow.domain.message import Message
from agentflow.domain.run import Reserved, Run
from agentflow.domain.step import Step
from agentflow.engine.runtime import Runtime
from agentflow.llm.projection import output_limit, project
from agentflow.llm.protocol import ModelRequest, ToolSchema
from agentflow.llm.tokens import estimate_tokens
from agentflow.llm.windows import window_of
from agentflow.policy.budget import NoRoom, room_for
from agentflow.policy.prompt import messages_of
from agentflow.policy.shortening import Measure, shorten
from agentflow.store import runs, steps
from agentflow.store.database import Transaction

# After a provider's word that the window is full, the estimate was too low: so much of it is used in the next try.
_AFTER_OVERFLOW = 0.5


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A model call that can be made: by which model, what is asked, and what is reserved for it."""

    model: object
    request: ModelRequest
    reserved: Reserved
    prompt_tokens: int
    is_priced: bool


def reserved_for(call: PreparedCall | None) -> Reserved:
    """Return what a claim sets aside: for a model's call what it may cost at most, for a tool's nothing."""
    return call.reserved if call else Reserved()


def prepare_call(
    tx: Transaction, runtime: Runtime, agent: Agent, run: Run, step: LockedStep, history: Sequence[Step], call_s: float
) -> PreparedCall | NoRoom:
    """Return the call of a locked model step, by the fallback's model where the agent's own costs too much."""
    earlier = runs.earlier_history(tx, run)
    failures = steps.earlier_failures(tx, step)
    overflows = sum(each["failures"] for each in failures if each["kind"] == ErrorKind.CONTEXT_OVERFLOW)
    build = partial(_prepare, runtime, agent, run, [*earlier, history], overflows, call_s)
    prepared = build(run.overrides.get("model") or agent.model)
    refusal = _room(run, prepared)
    if refusal == NoRoom("cost_usd") and isinstance(agent.fallback, Model):
        cheaper = build(agent.fallback.model)
        return _room(run, cheaper) or cheaper
    return refusal or prepared


def _room(run: Run, prepared: PreparedCall) -> NoRoom | None:
    return room_for(run, prepared.reserved, is_priced=prepared.is_priced)


def _prepare(
    runtime: Runtime,
    agent: Agent,
    run: Run,
    histories: Sequence[Sequence[Step]],
    overflows: int,
    call_s: float,
    model: object,
) -> PreparedCall:
    name = model if isinstance(model, str) else type(model).__name__
    tools = [ToolSchema(tool.name, tool.description, tool.signature.schema) for tool in agent.tools.values()]
    answer_tokens = output_limit(agent.settings)
    window = agent.context_tokens or window_of(name, runtime.prices)

    def measure(messages: Sequence[Message]) -> int:
        return estimate_tokens(messages, tools, agent.result_schema)

    messages = _within_window(_messages(agent, run, histories), measure, window, answer_tokens, overflows)
    prompt_tokens = measure(messages)
    request = ModelRequest(
        model=name,
        messages=messages,
        tools=tools,
        settings=_limited(agent, answer_tokens),
        result_schema=agent.result_schema,
        user=run.user_id,
        timeout_s=call_s,
    )
    cost_usd = _cost_usd(runtime, agent, model, prompt_tokens, answer_tokens)
    reserved = Reserved(prompt_tokens + answer_tokens, cost_usd or Decimal(0))
    return PreparedCall(model, request, reserved, prompt_tokens, is_priced=cost_usd is not None)


def _messages(agent: Agent, run: Run, histories: Sequence[Sequence[Step]]) -> list[Message]:
    instructions = run.overrides.get("instructions") or agent.instructions
    messages: list[Message] = [message.system(instructions)] if instructions else []
    for history in histories:
        messages.extend(messages_of(history))
    return messages


def _within_window(
    messages: Sequence[Message], measure: Measure, window: int | None, answer_tokens: int, overflows: int
) -> Sequence[Message]:
    """Return the messages as they fit beside the answer, and shorter with each overflow that a provider reported."""
    room = None if window is None else max(window - answer_tokens, window // 4)
    if overflows:
        sent = measure(messages) if room is None else min(measure(messages), room)
        room = int(sent * _AFTER_OVERFLOW**overflows)
    return messages if room is None else shorten(messages, room, measure).messages


def _limited(agent: Agent, answer_tokens: int) -> dict[str, object]:
    # What is reserved must be what is asked for: an answer without a limit could cost any amount.
    named = any(name in agent.settings for name in OUTPUT_LIMITS)
    return dict(agent.settings) if named else {**agent.settings, OUTPUT_LIMITS[0]: answer_tokens}


def _cost_usd(runtime: Runtime, agent: Agent, model: object, prompt_tokens: int, answer_tokens: int) -> Decimal | None:
    if not isinstance(model, str):
        # A model object is the user's own: it says afterwards what it cost.
        return Decimal(0)
    cost_usd = project(model, prompt_tokens, answer_tokens, runtime.prices).cost_usd
    return Decimal(0) if cost_usd is None and agent.name in runtime.model_overrides else cost_usd
