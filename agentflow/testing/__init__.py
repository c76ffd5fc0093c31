"""What a user's own tests import: a fixture that runs agents in process, on a real Postgres, with crashes on demand.

def test_refund_happens_once(agentflow):
    run = agentflow.run(refunds, ticket, crash_after="issue_refund", model=scripted(call("issue_refund", ...), "done"))
    assert run.status == "done" and run.effects("issue_refund") == 1
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.llm.recorded import recorded
    from agentflow.llm.scripted import call, calls, scripted
    from agentflow.testing.finished import FinishedRun
    from agentflow.testing.harness import Harness

__all__ = ["FinishedRun", "Harness", "call", "calls", "recorded", "scripted"]


_HOMES = {
    "FinishedRun": "agentflow.testing.finished",
    "Harness": "agentflow.testing.harness",
    "call": "agentflow.llm.scripted",
    "calls": "agentflow.llm.scripted",
    "recorded": "agentflow.llm.recorded",
    "scripted": "agentflow.llm.scripted",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'agentflow.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
