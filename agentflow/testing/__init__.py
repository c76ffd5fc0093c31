"""What a user's own tests import: a fixture that runs agents in process, on a real Postgres, with crashes on demand.

    def test_refund_happens_once(agentflow):
        run = agentflow.run(refunds, ticket, crash_after="issue_refund", model=scripted(call("issue_refund", ...), "done"))
        assert run.status == "done" and run.effects("issue_refund") == 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentflow.llm.recorded import recorded
    from agentflow.llm.scripted import call, calls, scripted
    from agentflow.testing.harness import FinishedRun, Harness

__all__ = ["FinishedRun", "Harness", "call", "calls", "recorded", "scripted"]


def __getattr__(name: str) -> Any:
    if name in {"call", "calls", "scripted"}:
        from agentflow.llm import scripted as home
    elif name == "recorded":
        from agentflow.llm import recorded as home  # type: ignore[no-redef]
    elif name in {"FinishedRun", "Harness"}:
        from agentflow.testing import harness as home  # type: ignore[no-redef]
    else:
        raise AttributeError(f"module 'agentflow.testing' has no attribute {name!r}")
    return getattr(home, name)
