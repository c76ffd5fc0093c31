"""From a model's name to the client that reaches it; the vendors' libraries are not imported before the first call."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any, Protocol

from agentflow.domain.errors import AgentflowError, DeclarationError, ModelError
from agentflow.llm.connections import current_connections
from agentflow.llm.prices import PriceTable
from agentflow.llm.protocol import ModelRequest, ModelResponse

UNUSED_KEY = "unused"
"""Sent to a server of one's own when there is no key: most check none, and the header may not be empty."""

KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


class Vendor(Protocol):
    """A vendor's model, on the loop of this process."""

    def answer(self, request: ModelRequest, prices: PriceTable | None) -> Coroutine[Any, Any, ModelResponse]:
        """Ask once."""
        ...


def client_for(
    model: str, *, base_url: str | None = None, api_key: str | None = None, prices: PriceTable | None = None
) -> VendorClient:
    """The client of "openai:NAME" or "anthropic:NAME"; raise DeclarationError for any other name.

    `base_url` is an OpenAI-compatible server that "openai:NAME" is reached at, and concerns no other provider. Without
    `api_key` the vendor's own variable is read at each call, so that a new key is taken up without a restart.
    """
    provider, _, name = model.partition(":")
    if provider not in KEY_VARIABLES or not name:
        raise DeclarationError(
            f"No client for the model {model!r}: write 'openai:NAME' or 'anthropic:NAME'. A server that speaks "
            "OpenAI's protocol is 'openai:NAME' with AGENTFLOW_LLM_BASE_URL set."
        )
    return VendorClient(provider, name, base_url if provider == "openai" else None, api_key, prices)


class VendorClient:
    """One model of one vendor. Holds settings alone, so it may be made before a fork and used from any thread."""

    def __init__(
        self, provider: str, name: str, base_url: str | None, api_key: str | None, prices: PriceTable | None
    ) -> None:
        self.provider = provider
        self.name = name
        self.base_url = base_url
        self.api_key = api_key
        self.prices = prices

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer once, within the request's timeout; raise ModelError otherwise."""
        work = self._ask(self.connect(), request)
        try:
            return current_connections().run(work, request.timeout_s)
        except TimeoutError as error:
            raise ModelError(
                f"The model {self.name!r} gave no answer within {request.timeout_s:g} s.", kind="timeout"
            ) from error

    def connect(self) -> Vendor:
        """Import the vendor's library and open its client, which takes seconds the first time in a process."""
        key = self._key()
        return current_connections().client((self.provider, self.name, self.base_url, key), lambda: self._open(key))

    def import_library(self) -> None:
        """Import the vendor's library and open nothing, as may be done before a fork."""
        if self.provider == "anthropic":
            import agentflow.llm.anthropic_messages
        else:
            import agentflow.llm.openai_chat  # noqa: F401 - for the import's own sake

    def _open(self, key: str) -> Vendor:
        if self.provider == "anthropic":
            from agentflow.llm.anthropic_messages import AnthropicMessages

            return AnthropicMessages(self.name, key)
        from agentflow.llm.openai_chat import OpenAIChat

        return OpenAIChat(self.name, self.base_url, key)

    def _key(self) -> str:
        variable = KEY_VARIABLES[self.provider]
        key = self.api_key or os.environ.get(variable) or (UNUSED_KEY if self.base_url else None)
        if key is None:
            raise ModelError(f"No key for the model {self.name!r}: set {variable}.", kind="auth")
        return key

    async def _ask(self, vendor: Vendor, request: ModelRequest) -> ModelResponse:
        # Translated here and not in the waiting thread, where a soft time limit would pass for an error of the model.
        try:
            return await vendor.answer(request, self.prices)
        except AgentflowError:
            raise
        except Exception as error:
            from agentflow.llm.vendor_errors import translate_error

            raise translate_error(error, self.name) from error
