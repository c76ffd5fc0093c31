"""A model step: the request from the run's history, the call, and the answer in a form that can be acted on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from agentflow.declare.agent import Agent
from agentflow.domain import message, payload
from agentflow.domain.claim import Claim
from agentflow.domain.errors import ModelError, PayloadRefused
from agentflow.domain.message import Message, ToolCall
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, ModelCallLog
from agentflow.domain.step import Step
from agentflow.engine.runtime import Runtime
from agentflow.llm.protocol import ModelClient, ModelRequest, ModelResponse, ToolSchema
from agentflow.policy.prompt import messages_of

log = structlog.get_logger("agentflow.model")


def call_model(runtime: Runtime, claim: Claim, agent: Agent, earlier: Sequence[Sequence[Step]]) -> AttemptOutcome:
    """Ask the agent's model for its next answer. `earlier` are the conversation's runs before this one."""
    request = build_request(agent, claim, earlier)
    try:
        response = _client(runtime, agent).complete(request)
    except ModelError as error:
        return Failed(error.kind, str(error), happened=False, details=_details(error))
    except Exception as error:
        log.exception("model_raised", run_id=claim.run.run_id, step_index=claim.step.step_index)
        return Failed("bug", f"{type(error).__name__}: {error}", happened=False)
    return classify_response(agent, request, response)


def build_request(agent: Agent, claim: Claim, earlier: Sequence[Sequence[Step]]) -> ModelRequest:
    """Return the request of a model step: instructions, the conversation so far, this run so far."""
    messages: list[Message] = [message.system(agent.instructions)] if agent.instructions else []
    for history in [*earlier, claim.history]:
        messages.extend(messages_of(history))
    return ModelRequest(
        model=agent.model if isinstance(agent.model, str) else type(agent.model).__name__,
        messages=messages,
        tools=[ToolSchema(tool.name, tool.description, tool.signature.schema) for tool in agent.tools.values()],
        settings=agent.settings,
        result_schema=agent.result_schema,
        user=claim.run.user_id,
        timeout_s=_timeout_s(agent, claim),
    )


def _timeout_s(agent: Agent, claim: Claim) -> float:
    if claim.run.deadline_at is None:
        return agent.model_timeout_s
    return min(agent.model_timeout_s, max(0.1, (claim.run.deadline_at - claim.claimed_at).total_seconds()))


def classify_response(agent: Agent, request: ModelRequest, response: ModelResponse) -> AttemptOutcome:
    """Return the outcome of an answered call: each tool call is checked here, so that deciding needs no user's code."""
    answer = payload.sanitise(message.assistant(response.content, response.tool_calls))
    call_log = _call_log(request, response, answer.value)
    if response.finish_reason == "content_filter":
        return Failed("refused", "the model refused to answer", happened=False, model_call=call_log)
    if response.finish_reason == "length":
        return Failed(
            "malformed", "the model's answer was cut off at its length limit", happened=False, model_call=call_log
        )
    calls: list[ToolCall] = answer.value.get("tool_calls", [])
    if not calls and response.content is None:
        return Failed("malformed", "the model gave neither text nor a tool call", happened=False, model_call=call_log)
    output: dict[str, Any] = {"content": answer.value["content"], "tool_calls": calls, "inputs": [], "errors": {}}
    for index, call in enumerate(calls):
        try:
            output["inputs"].append(read_arguments(agent, call))
        except ValueError as error:
            output["inputs"].append(None)
            output["errors"][str(index)] = {"kind": "bad_input", "message": str(error)}
    if not calls:
        output.update(_result(agent, answer.value["content"]))
    return Completed(output, model_call=call_log, flags=answer.flags)


def read_arguments(agent: Agent, call: ToolCall) -> Mapping[str, Any]:
    """Return a call's arguments as stored input; raise ValueError saying what the model has to mend."""
    tool = agent.tools.get(call["name"])
    if tool is None:
        raise ValueError(f"there is no tool {call['name']!r}; the tools are {', '.join(agent.tools) or 'none'}")
    try:
        arguments = json.loads(call["arguments"] or "{}", object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        kind = type(arguments).__name__
        raise ValueError(f"the arguments must be a JSON object, not {kind}")  # noqa: TRY004 - the model's error, not ours
    try:
        clean: Mapping[str, Any] = payload.sanitise(arguments).value
    except PayloadRefused as error:
        raise ValueError(str(error)) from error
    tool.signature.parse(clean)
    tool.key_for(clean)
    return clean


def _result(agent: Agent, content: str) -> Mapping[str, Any]:
    try:
        return {"result": payload.sanitise(agent.parse_result(content)).value}
    except (ValueError, PayloadRefused) as error:
        return {"result_error": f"The answer does not have the form that was asked for: {error}"}


def _client(runtime: Runtime, agent: Agent) -> ModelClient:
    model = runtime.model_overrides.get(agent.name, agent.model)
    return runtime.models(model) if isinstance(model, str) else model


def _call_log(request: ModelRequest, response: ModelResponse, answer: Message) -> ModelCallLog:
    tools = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in request.tools]
    prompt: list[Mapping[str, Any]] = [{"role": "tools", "tools": tools}] if tools else []
    return ModelCallLog(
        model=request.model,
        response_model=response.model,
        prompt_tokens=response.usage.prompt_tokens,
        completion_tokens=response.usage.completion_tokens,
        cost_usd=response.cost_usd,
        prompt=[*prompt, *request.messages],
        response=answer,
        finish_reason=response.finish_reason,
    )


def _details(error: ModelError) -> Mapping[str, Any]:
    known = {"status": error.status, "retry_after_s": error.retry_after_s}
    return {name: value for name, value in known.items() if value is not None}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"the key {repeated[0]!r} stands in it twice")
    return dict(pairs)
