"""Runs whose tool stands behind a gate, moved by the sweeper alone, and what the gate shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2

from agentflow import Breaker, Context, Limits, Pipeline, tool
from agentflow.domain.hint import Hint
from agentflow.engine.sweeper import Sweeper
from agentflow.gate.protocol import BulkheadState
from agentflow.testing.hints import CollectedHints
from tests.integration.hands import Hands
from tests.integration.outside import NO_TLS

OPENS_AT_TWO = Breaker(failures=2, within_s=60, open_s=60)
PAY = "pay"


def paying(name: str = PAY, *, effect: str = "read", depends_on: str | None = None, **limits: Any) -> Pipeline:
    """A pipeline of one call, whose bulkhead has these limits and a breaker that opens at the second failure."""

    def pay(ctx: Context, url: str, seat: str = "1A") -> Any:
        headers = {"Idempotency-Key": ctx.idempotency_key}
        return httpx2.post(url, headers=headers, timeout=5, verify=NO_TLS).raise_for_status().json()

    limited = Limits(**{"breaker": OPENS_AT_TWO, **limits})
    declared = tool(effect=effect, name=name, timeout_s=5, limits=limited, depends_on=depends_on)(pay)
    return Pipeline(f"paying_{name}", [declared])


def state(hands: Hands, name: str = PAY, breaker: str | None = None) -> BulkheadState:
    [found] = hands.runtime.gate.states({name: breaker or name})
    return found


def swept(hands: Hands) -> list[Hint]:
    """The hints of one sweep."""
    hands.sql("delete from agentflow.turns")
    hints = CollectedHints()
    worker_id = hands.runtime.worker.worker_id
    assert Sweeper(hands.harness.database, hints, hints, worker_id, hands.runtime.gate).sweep()
    found = []
    while hint := hints.take():
        found.append(hint)
    return found


def obey(hands: Hands, hints: Sequence[Hint]) -> None:
    for hint in hints:
        hands.harness.obey(hands.runtime, hint)


def drain(hands: Hands) -> int:
    """Do what one sweep hints, and what follows from that; return how many hints were on their way at most."""
    waiting, most = list(swept(hands)), 0
    while waiting:
        most = max(most, len(waiting))
        obey(hands, [waiting.pop(0)])
        while hint := hands.harness.hints.take():
            waiting.append(hint)
    return most


def statuses(hands: Hands, run_ids: Sequence[str]) -> list[str]:
    return [hands.harness.client.get(run_id).status for run_id in run_ids]


def due_in_s(hands: Hands, run_id: str) -> float:
    query = "select next_attempt_at - clock_timestamp() from agentflow.agent_steps where run_id = %(run_id)s"
    return float(hands.value(query, run_id=run_id).total_seconds())
