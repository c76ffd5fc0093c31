"""What a verification and a compensation are given of the call that they are about, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from agentflow import Context, Happened, Pipeline, ToolError, tool
from agentflow.declare.declaration import Declaration
from agentflow.testing import FinishedRun, Harness


class Charge(BaseModel):
    charge_id: str


@dataclass
class Shop:
    """A shop, and what it was asked: amount, result, key and the key of the call that it is about."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    def pipeline(self) -> Declaration:
        """Charge a card, leaving the amount to its default, then fail."""

        @tool(effect="verified", settle_s=0)
        def charge(order_id: str, cents: int = 500) -> Charge:
            return Charge(charge_id="c-1")

        @charge.verify
        def charged(ctx: Context, cents: int) -> Happened[Charge]:
            self.asked.append(("verify", cents, ctx.idempotency_key, ctx.subject_key))
            return Happened(Charge(charge_id="c-1"))

        @charge.compensate(effect="idempotent")
        def give_back(ctx: Context, made: Charge, cents: int) -> datetime:
            self.asked.append(("compensate", cents, made.charge_id, ctx.idempotency_key, ctx.subject_key))
            return datetime(2026, 1, 2, tzinfo=UTC)

        @tool(effect="read")
        def ship(charge: Charge) -> str:
            raise ToolError("out of stock", happened=False)

        return Pipeline("orders", [charge, ship])


@pytest.fixture
def shop() -> Shop:
    return Shop()


def undone(agentflow: Harness, shop: Shop) -> FinishedRun:
    return agentflow.run(shop.pipeline(), {"order_id": "4421"}, crash_after="charge")


def test_a_verification_is_given_the_calls_own_key_and_the_defaults_that_the_call_left_out(
    agentflow: Harness, shop: Shop
) -> None:
    run = undone(agentflow, shop)

    key = run.steps[0].idempotency_key
    assert shop.asked[0] == ("verify", 500, key, key)


def test_a_compensation_is_given_the_result_the_defaults_and_a_key_of_its_own(agentflow: Harness, shop: Shop) -> None:
    run = undone(agentflow, shop)

    assert shop.asked[1] == ("compensate", 500, "c-1", run.steps[3].idempotency_key, run.steps[0].idempotency_key)
    assert run.steps[3].idempotency_key != run.steps[0].idempotency_key


def test_what_a_compensation_answers_is_kept_though_it_is_of_another_type_than_the_call(
    agentflow: Harness, shop: Shop
) -> None:
    run = undone(agentflow, shop)

    assert [step.tool_name for step in run.steps] == ["charge", "verify", "ship", "compensate"]
    assert (run.steps[3].status, run.steps[3].output) == ("ok", "2026-01-02T00:00:00Z")
