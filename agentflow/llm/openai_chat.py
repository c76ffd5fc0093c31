"""OpenAI's Chat Completions, and every server that speaks it.

pydantic-ai sends the request and names the errors. What is said to the model and what it answers does not pass through
its message types, which print arguments anew, drop empty texts and make up call ids: the body is ours, letter for
letter.
"""

from __future__ import annotations

from typing import Any, cast

from openai import AsyncOpenAI
from openai.types import chat
from pydantic_ai import direct
from pydantic_ai.messages import ModelRequest as Placeholder
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers.openai import OpenAIProvider

from agentflow.domain.errors import ModelError
from agentflow.domain.message import ToolCall
from agentflow.llm.prices import PriceTable, cost_usd
from agentflow.llm.protocol import ModelRequest, ModelResponse, Usage
from agentflow.llm.tokens import estimate_usage
from agentflow.llm.wire import wire_message, wire_tool

TRANSLATED_SETTINGS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens")
"""What pydantic-ai renames or leaves out for some models of OpenAI; every other setting is sent as it is."""


class OpenAIChat:
    """One model behind one server."""

    def __init__(self, name: str, base_url: str | None, api_key: str) -> None:
        self._name = name
        self._is_openai = base_url is None
        client = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0)
        self._model = _VerbatimChatModel(name, provider=OpenAIProvider(openai_client=client))

    async def answer(self, request: ModelRequest, prices: PriceTable | None) -> ModelResponse:
        """Ask once; raise ModelError or what the vendor's library raises."""
        answer = await direct.model_request(
            self._model,
            [Placeholder.user_text_prompt("The messages are in extra_body.")],
            model_settings=self._settings(request),
            model_request_parameters=_parameters(request),
        )
        details = answer.provider_details or {}
        completion: chat.ChatCompletion | None = details.get("completion")
        if completion is None:
            raise ModelError(f"The model {self._name!r} refused to answer.", kind="refused")
        tokens = Usage(answer.usage.input_tokens, answer.usage.output_tokens)
        cached = answer.usage.cache_read_tokens
        return _response(request, completion, tokens, cached, prices, self._name)

    def _settings(self, request: ModelRequest) -> OpenAIChatModelSettings:
        translated = [key for key in TRANSLATED_SETTINGS if key in request.settings]
        if not self._is_openai and "max_tokens" in translated:
            # OpenAI wants it renamed, most other servers know the old name alone.
            translated.remove("max_tokens")
        body = {key: value for key, value in request.settings.items() if key not in translated}
        body["messages"] = [wire_message(message) for message in request.messages]
        if request.tools:
            body["tools"] = [wire_tool(tool) for tool in request.tools]
        if request.user is not None:
            body["user"] = request.user
        settings = {key: request.settings[key] for key in translated}
        return cast("OpenAIChatModelSettings", {**settings, "timeout": request.timeout_s, "extra_body": body})


class _VerbatimChatModel(OpenAIChatModel):
    """Keeps the completion as it came, beside what pydantic-ai makes of it."""

    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        for choice in response.choices or ():
            for position, call in enumerate(getattr(choice.message, "tool_calls", None) or ()):
                # Some servers give no id; the answer to the call needs one, the same at each reading.
                call.id = call.id or f"call_{position}"
        return super()._validate_completion(response)

    def _process_provider_details(self, response: chat.ChatCompletion) -> dict[str, Any]:
        return {"completion": response}


def _parameters(request: ModelRequest) -> ModelRequestParameters:
    if request.result_schema is None:
        return ModelRequestParameters()
    wanted = OutputObjectDefinition(json_schema=request.result_schema, name="result")
    return ModelRequestParameters(output_mode="native", output_object=wanted, allow_text_output=False)


def _response(
    request: ModelRequest,
    completion: chat.ChatCompletion,
    usage: Usage,
    cached: int,
    prices: PriceTable | None,
    name: str,
) -> ModelResponse:
    choice = completion.choices[0]
    content, tool_calls = choice.message.content, _tool_calls(choice.message)
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise ModelError(f"The model {name!r} refused: {choice.message.refusal or 'content filter'}", kind="refused")
    if not choice.finish_reason:
        raise ModelError(f"The answer of the model {name!r} breaks off: it has no finish reason.", kind="malformed")
    if completion.usage is None:
        usage = estimate_usage(request.messages, content, tool_calls)
    cost = cost_usd(f"openai:{name}", usage, prices=prices, cache_read_tokens=cached)
    return ModelResponse(content, tool_calls, choice.finish_reason, completion.model, usage, cost)


def _tool_calls(message: chat.ChatCompletionMessage) -> list[ToolCall]:
    return [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
