"""A model step: the call, and the answer in a form that can be acted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import structlog

from agentflow.declare.agent import Agent
from agentflow.domain import message, payload
from agentflow.domain.claim import Claim
from agentflow.domain.errors import PayloadRefused
from agentflow.domain.failure import ErrorKind
from agentflow.domain.message import Message, ToolCall
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed, ModelCallLog
from agentflow.domain.quoting import quoted
from agentflow.engine.credentials import read_secret
from agentflow.engine.preparing import PreparedCall
from agentflow.engine.runtime import Runtime
from agentflow.llm.protocol import ModelClient, ModelRequest, ModelResponse
from agentflow.llm.usable import usable
from agentflow.policy.taxonomy import classify_error
from agentflow.policy.taxonomy.excerpt import text_of

_FIRST_ERROR = 400

log = structlog.get_logger("agentflow.model")


def call_model(runtime: Runtime, claim: Claim, agent: Agent, call: PreparedCall) -> AttemptOutcome:
    """Ask the model for its next answer; whatever it raises is an outcome too."""
    runtime.credentials.begin_call()
    try:
        response = usable(_client(runtime, agent, call).complete(call.request))
    except Exception as error:
        failed = classify_error(error, now=datetime.now(UTC))
        if failed.kind == ErrorKind.BUG:
            log.exception("model_raised", run_id=claim.run.run_id, step_index=claim.step.step_index)
            runtime.report_bug(error, run_id=claim.run.run_id, step_index=claim.step.step_index, tool="model")
        return replace(failed, model_call=failed_call(call, failed))
    return classify_response(agent, call.request, response)


def failed_call(call: PreparedCall, failed: Failed) -> ModelCallLog:
    """Return the log of a call without an answer: one that may have been answered is charged all that was reserved.

    Nobody bills an answer that is an error.
    """
    certain = failed.happened is False or (failed.status is not None and failed.status >= _FIRST_ERROR)
    error = {"kind": failed.kind, "message": failed.message, "status": failed.status}
    return ModelCallLog(
        model=call.request.model,
        response_model="",
        prompt_tokens=0 if certain else call.prompt_tokens,
        completion_tokens=0 if certain else call.reserved.tokens - call.prompt_tokens,
        cost_usd=Decimal(0) if certain else call.reserved.cost_usd,
        prompt=_logged_prompt(call.request),
        response=None,
        finish_reason=None,
        error=payload.sanitise(error).value,
    )


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
            output["errors"][str(index)] = {"kind": "bad_input", "message": payload.sanitise(text_of(error)).value}
    if not calls:
        output.update(_result(agent, answer.value["content"]))
    return Completed(output, model_call=call_log, flags=answer.flags)


def read_arguments(agent: Agent, call: ToolCall) -> Mapping[str, Any]:
    """Return a call's arguments as stored input; raise ValueError saying what the model has to mend."""
    tool = agent.tools.get(call["name"])
    if tool is None:
        raise ValueError(f"there is no tool {quoted(call['name'])}; the tools are {', '.join(agent.tools) or 'none'}")
    try:
        arguments = payload.read(call["arguments"] or "{}")
    except PayloadRefused as error:
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
        complaint = f"The answer does not have the form that was asked for: {text_of(error)}"
        return {"result_error": payload.sanitise(complaint).value}


def _client(runtime: Runtime, agent: Agent, call: PreparedCall) -> ModelClient:
    model: Any = runtime.model_overrides.get(agent.name, call.model)
    if not isinstance(model, str):
        client: ModelClient = model
        return client
    if agent.credential is None or not _is_of_one_provider(model, agent.model):
        return runtime.models(model, None)
    return runtime.models(model, read_secret(runtime, agent.credential))


def _is_of_one_provider(model: str, declared: object) -> bool:
    # A fallback's model may be another provider's, which must not be shown this one's key.
    return not isinstance(declared, str) or model.partition(":")[0] == declared.partition(":")[0]


def _call_log(request: ModelRequest, response: ModelResponse, answer: Message) -> ModelCallLog:
    return ModelCallLog(
        model=request.model,
        response_model=response.model,
        prompt_tokens=response.usage.prompt_tokens,
        completion_tokens=response.usage.completion_tokens,
        cost_usd=response.cost_usd,
        prompt=_logged_prompt(request),
        response=answer,
        finish_reason=response.finish_reason,
    )


def _logged_prompt(request: ModelRequest) -> Sequence[Mapping[str, Any]]:
    tools = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in request.tools]
    prompt: list[Mapping[str, Any]] = [{"role": "tools", "tools": tools}] if tools else []
    return [*prompt, *request.messages]
