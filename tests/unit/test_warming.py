"""What a worker's main process has imported before its pool's children are forked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOOK = """
import sys
from celery.concurrency import get_implementation
from types import SimpleNamespace
from tasks.app import app
from tasks.lifecycle import prepare_children
app.amqp.queues.select(sys.argv[2].split(","))
prepare_children(SimpleNamespace(pool_cls=get_implementation(sys.argv[1])))
print("openai" in sys.modules, "genai_prices" in sys.modules)
"""
ENVIRONMENT = {
    "AGENTFLOW_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AGENTFLOW_REDIS_URL": "redis://127.0.0.1:1/0",
    "AGENTFLOW_AGENTS": "tests.integration.workers.agents.shop",
}


@pytest.mark.parametrize(
    ("kind", "queues", "expected"),
    [
        pytest.param("prefork", "quarantine", "True True", id="quarantine takes calls of any model"),
        pytest.param("prefork", "tool.charge,tool.price", "False False", id="tools need no model"),
        pytest.param("threads", "quarantine", "False True", id="threads have the prices before their first claim"),
    ],
)
def test_the_models_libraries_and_prices_are_loaded_before_the_fork_where_they_are_needed(
    kind: str, queues: str, expected: str
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOOK, kind, queues],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert said.stdout.strip() == expected
