"""OpenAI's protocol, spoken by a server: any of our models behind POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentflow.domain.errors import ModelError, RecordingDeviated
from agentflow.domain.message import chain
from agentflow.llm.protocol import ModelClient, ModelRequest, ModelResponse, ToolSchema
from agentflow.llm.recorded import RecordingEnded, comparable
from agentflow.llm.request_log import RequestLog
from agentflow.llm.wire import read_message, wire_call

FAILURES: dict[str, tuple[int, str, str]] = {
    "transient": (503, "server_error", "service_unavailable"),
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded"),
    "auth": (401, "invalid_request_error", "invalid_api_key"),
    "bad_input": (400, "invalid_request_error", "invalid_request"),
    "timeout": (504, "timeout_error", "timeout"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "context_overflow": (400, "invalid_request_error", "context_length_exceeded"),
    "refused": (400, "invalid_request_error", "content_filter"),
}
"""Status, type and code of each kind of failure, as OpenAI sends them; what is not here is an answer cut short."""

READ_KEYS = {"model", "messages", "tools", "user", "stream", "stream_options", "response_format"}


class CompletionsApp:
    """Answers for one model, after `latency_s`; what was asked and answered goes to the log."""

    def __init__(self, model: ModelClient, latency_s: float = 0.0, log: RequestLog | None = None) -> None:
        self._model = model
        self._latency_s = latency_s
        self._log = log

    def routes(self) -> Starlette:
        """The application to serve."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._list_models, methods=["GET"]),
            ]
        )

    async def _complete(self, http: Request) -> Response:
        body = await http.body()
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        # A script may hold functions of the user's own, and those may wait.
        return await run_in_threadpool(self._answer, body)

    async def _list_models(self, _http: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "agentflow", "object": "model"}]})

    def _answer(self, body: bytes) -> Response:
        try:
            asked = json.loads(body)
            request = read_request(asked)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return _failed(ModelError(f"This is no chat completion request: {error!r}", kind="bad_input"))
        try:
            answer = self._model.complete(request)
        except Exception as error:  # noqa: BLE001 - whatever a script raises, the client is told
            self._write(request, {"error": str(error)})
            return _failed(error)
        completion = render_completion(request, answer)
        self._write(request, {"answer": completion["choices"][0]["message"]})
        return _streamed(completion) if asked.get("stream") else JSONResponse(completion)

    def _write(self, request: ModelRequest, outcome: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(request, messages_hash(request), outcome)


def read_request(body: Mapping[str, Any]) -> ModelRequest:
    """The request in a body; raise ValueError, KeyError or TypeError where there is none."""
    response_format = body.get("response_format") or {}
    return ModelRequest(
        model=f"openai:{body['model']}",
        messages=[read_message(message) for message in body["messages"]],
        tools=[_read_tool(tool["function"]) for tool in body.get("tools") or ()],
        settings={key: value for key, value in body.items() if key not in READ_KEYS},
        result_schema=(response_format.get("json_schema") or {}).get("schema"),
        user=body.get("user"),
    )


def messages_hash(request: ModelRequest) -> str:
    """One short word for all that was said so far; equal conversations have equal ones."""
    return chain(comparable(message) for message in request.messages)[-1].hex()[:32] if request.messages else ""


def render_completion(request: ModelRequest, answer: ModelResponse) -> dict[str, Any]:
    """The answer as OpenAI would send it."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.content}
    if answer.tool_calls:
        message["tool_calls"] = [wire_call(call) for call in answer.tool_calls]
    prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return {
        "id": f"chatcmpl-{messages_hash(request)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }


def _read_tool(function: Mapping[str, Any]) -> ToolSchema:
    return ToolSchema(function["name"], function.get("description") or "", dict(function.get("parameters") or {}))


def _failed(error: Exception) -> Response:
    kind = error.kind if isinstance(error, ModelError) else "transient"
    if kind not in FAILURES:
        return Response('{"id": "chatcmpl-', media_type="application/json")
    status, error_type, code = FAILURES[kind]
    if isinstance(error, RecordingDeviated | RecordingEnded):
        code = "recording_deviated" if isinstance(error, RecordingDeviated) else "recording_ended"
    body = {"error": {"message": str(error), "type": error_type, "param": None, "code": code}}
    if not isinstance(error, ModelError):
        return JSONResponse(body, 500)
    wish = error.retry_after_s
    return JSONResponse(body, error.status or status, headers={} if wish is None else {"retry-after": f"{wish:g}"})


def _streamed(completion: dict[str, Any]) -> Response:
    """The whole answer in one piece, in the form of a stream: the text is there at once in any case."""
    choice = completion["choices"][0]
    calls = [{"index": number, **call} for number, call in enumerate(choice["message"].get("tool_calls", ()))]
    head = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    delta = choice["message"] | ({"tool_calls": calls} if calls else {})
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        head | {"choices": [], "usage": completion["usage"]},
    ]
    lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    return Response("".join(f"data: {line}\n\n" for line in lines), media_type="text/event-stream")
