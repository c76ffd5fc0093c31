"""The models' one address: each request goes to the server of its model, each answer comes back as it is."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from agentflow.llm.scripted import scripted
from agentflow.llm.server import ModelServer
from tests.chaos.fronts import ModelFront
from tests.integration.faulty import CutWithin, FaultyServer


@pytest.fixture(scope="module")
def front() -> Iterator[ModelFront]:
    with (
        ModelServer(scripted("I am the known one.")) as known,
        ModelServer(scripted("I am any other.")) as other,
        ModelFront({"known": known.base_url, "*": other.base_url}) as running,
    ):
        yield running


def said(client: httpx2.Client, base_url: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Who are you?"}]}
    reply = client.post(f"{base_url}/chat/completions", json=body)
    return str(reply.raise_for_status().json()["choices"][0]["message"]["content"])


def test_each_model_is_answered_by_its_server_over_one_client(front: ModelFront) -> None:
    with httpx2.Client(timeout=10) as client:
        answers = [said(client, front.base_url, model) for model in ("known", "another", "known")]

    assert answers == ["I am the known one.", "I am any other.", "I am the known one."]


def test_an_answer_that_is_cut_is_cut_for_the_asker_too() -> None:
    with (
        FaultyServer() as server,
        ModelFront({"*": f"{server.url}/v1"}) as running,
        httpx2.Client(timeout=10) as client,
    ):
        server.script("/v1/chat/completions", CutWithin())

        with pytest.raises(httpx2.HTTPError):
            said(client, running.base_url, "any")
