"""Owns the beginning of runs whose steps are all at the gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentflow import Pipeline
from agentflow.gate.redis_gate import RedisGate
from agentflow.testing import Harness
from tests.integration.hands import Hands
from tests.integration.outside import Endpoint


@pytest.fixture
def begun(agentflow: Harness, gate: RedisGate, endpoint: Endpoint) -> Callable[..., tuple[Hands, list[str]]]:
    """Begin so many runs of a pipeline, all of them at the gate."""

    def begin(pipeline: Pipeline, runs: int = 1, **input: Any) -> tuple[Hands, list[str]]:
        hands = Hands(agentflow, pipeline)
        hands.runtime.gate = gate
        hands.runtime.draw = lambda: 0.5
        run_ids = [hands.begin(pipeline, {"url": endpoint.url, **input}) for _ in range(runs)]
        hands.drop_hints()
        return hands, run_ids

    return begin
