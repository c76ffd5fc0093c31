"""Anthropic's Messages API: the chat-completions form in its words, and its answers in ours."""

from __future__ import annotations

import json
from typing import Any

from anthropic import AsyncAnthropic
from pydantic_ai import direct
from pydantic_ai.messages import ModelRequest as Placeholder
from pydantic_ai.messages import ModelResponse as Answer
from pydantic_ai.messages import TextPart, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers.anthropic import AnthropicProvider

from agentflow.domain.errors import ModelError
from agentflow.domain.message import ToolCall
from agentflow.llm.anthropic_turns import system_text, tool_definitions, turns
from agentflow.llm.prices import PriceTable, cost_usd
from agentflow.llm.protocol import ModelRequest, ModelResponse, Usage

MAX_TOKENS = 8_192
"""Sent where the settings say nothing: the API wants a number, and pydantic-ai's own choice makes it stream."""

FINISH_REASONS = {"stop": "stop", "length": "length", "tool_call": "tool_calls"}


class AnthropicMessages:
    """One of Anthropic's models."""

    def __init__(self, name: str, api_key: str) -> None:
        self._name = name
        client = AsyncAnthropic(api_key=api_key, max_retries=0)
        self._model = AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    async def answer(self, request: ModelRequest, prices: PriceTable | None) -> ModelResponse:
        """Ask once; raise ModelError or what the vendor's library raises."""
        answer = await direct.model_request(
            self._model,
            [Placeholder.user_text_prompt("The messages are in extra_body.")],
            model_settings=_settings(request),
            model_request_parameters=self._parameters(request),
        )
        return self._response(answer, prices)

    def _parameters(self, request: ModelRequest) -> ModelRequestParameters:
        # Older models know no structured output; the engine checks the result against the schema in any case.
        if request.result_schema is None or not self._model.profile.get("supports_json_schema_output", False):
            return ModelRequestParameters()
        wanted = OutputObjectDefinition(json_schema=request.result_schema, name="result")
        return ModelRequestParameters(output_mode="native", output_object=wanted, allow_text_output=False)

    def _response(self, answer: Answer, prices: PriceTable | None) -> ModelResponse:
        if answer.finish_reason == "content_filter":
            raise ModelError(f"The model {self._name!r} refused to answer.", kind="refused")
        if answer.finish_reason not in FINISH_REASONS:
            raise ModelError(f"The answer of the model {self._name!r} breaks off.", kind="malformed")
        texts = [part.content for part in answer.parts if isinstance(part, TextPart)]
        usage = Usage(answer.usage.input_tokens, answer.usage.output_tokens)
        return ModelResponse(
            content="".join(texts) if texts else None,
            tool_calls=self._tool_calls(answer),
            finish_reason=FINISH_REASONS[answer.finish_reason],
            model=answer.model_name or self._name,
            usage=usage,
            cost_usd=cost_usd(
                f"anthropic:{self._name}",
                usage,
                prices=prices,
                cache_read_tokens=answer.usage.cache_read_tokens,
                cache_write_tokens=answer.usage.cache_write_tokens,
            ),
        )

    def _tool_calls(self, answer: Answer) -> list[ToolCall]:
        parts = [part for part in answer.parts if isinstance(part, ToolCallPart)]
        # The library validates no answer: what the API promises to send may be missing.
        if not all(part.tool_name for part in parts):
            raise ModelError(f"The model {self._name!r} calls a tool without a name.", kind="malformed")
        return [
            {"id": part.tool_call_id or f"call_{position}", "name": part.tool_name, "arguments": _arguments(part.args)}
            for position, part in enumerate(parts)
        ]


def _settings(request: ModelRequest) -> AnthropicModelSettings:
    settings = dict(request.settings)
    max_tokens = settings.pop("max_tokens", MAX_TOKENS)
    body: dict[str, Any] = {**settings, "messages": turns(request.messages)}
    if text := system_text(request.messages):
        body["system"] = text
    if request.tools:
        body["tools"] = tool_definitions(request.tools)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    return AnthropicModelSettings(timeout=request.timeout_s, max_tokens=max_tokens, extra_body=body)


def _arguments(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
