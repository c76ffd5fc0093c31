"""Owns what the scripted model answers: the customer's first message names the script."""

from __future__ import annotations

from agentflow.llm.protocol import ModelRequest, ModelResponse
from agentflow.llm.scripted import Answer, ScriptedModel, call


class Scripts:
    """One model for every test: the first word of the customer's message names the script."""

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer as the customer's script says."""
        said = next(str(message["content"]) for message in request.messages if message["role"] == "user")
        script, _, word = said.partition(" ")
        return ScriptedModel(_answers(script, word)).complete(request)


def _answers(script: str, word: str) -> tuple[Answer, ...]:
    scripts: dict[str, tuple[Answer, ...]] = {
        "order": (call("price", order=word), call("charge", order=word, price=7), f"{word} is on its way"),
        "keep": (call("note", word=word), call("recall"), f"your word was {word}"),
    }
    return scripts[script]


answer = Scripts()
