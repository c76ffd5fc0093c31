"""From a model's name to its client."""

import subprocess
import sys

import pytest

from agentflow.domain.errors import DeclarationError, ModelError
from agentflow.domain.message import user
from agentflow.llm.clients import client_for
from agentflow.llm.protocol import ModelRequest


@pytest.mark.parametrize("model", ["gpt-4o-mini", "openai:", "mistral:large", ""])
def test_a_name_without_a_known_provider_is_refused_with_what_to_write(model: str) -> None:
    with pytest.raises(DeclarationError, match="write 'openai:NAME' or 'anthropic:NAME'"):
        client_for(model)


def test_a_name_may_hold_colons() -> None:
    assert client_for("openai:llama3:8b").name == "llama3:8b"


def test_the_base_url_concerns_openais_protocol_alone() -> None:
    assert client_for("openai:m", base_url="http://x/v1").base_url == "http://x/v1"
    assert client_for("anthropic:m", base_url="http://x/v1").base_url is None


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_missing_key_is_named_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    monkeypatch.delenv(f"{provider.upper()}_API_KEY", raising=False)
    with pytest.raises(ModelError, match=f"set {provider.upper()}_API_KEY") as caught:
        client_for(f"{provider}:m").complete(ModelRequest(f"{provider}:m", [user("hi")]))
    assert caught.value.kind == "auth"


def test_vendors_libraries_are_not_imported_before_the_first_call() -> None:
    code = (
        "import sys, agentflow.llm.clients, agentflow.llm.scripted, agentflow.llm.recorded, agentflow.llm.prices;"
        "agentflow.llm.clients.client_for('openai:m');"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'genai_prices') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
