from __future__ import annotations

import pytest

from agentflow import Agent, Budget, Model, credential
from agentflow.llm.protocol import ModelClient
from agentflow.testing import Harness, scripted


@credential
def openai_key() -> str:
    return "sk-of-openai"


@pytest.mark.parametrize(
    ("cheaper", "key"),
    [("openai:gpt-4o-mini", "sk-of-openai"), ("anthropic:claude-3-5-haiku-latest", None)],
    ids=["same provider", "another provider"],
)
def test_a_fallbacks_model_is_shown_the_key_of_its_own_provider_alone(
    agentflow: Harness, cheaper: str, key: str | None
) -> None:
    desk = Agent(
        "desk", model="openai:gpt-4o", credential=openai_key, budget=Budget(cost_usd=0.03), fallback=Model(cheaper)
    )
    asked: list[tuple[str, str | None]] = []

    def models(model: str, api_key: str | None = None) -> ModelClient:
        asked.append((model, api_key))
        return scripted("done")

    runtime = agentflow.runtime(desk)
    runtime.models = models
    run = agentflow.client.submit("desk", "hello")
    agentflow.work(runtime)

    assert run.result() == "done"
    assert asked == [(cheaper, key)]
