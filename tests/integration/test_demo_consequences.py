"""Shows that the demo's refunds are verified, approved and undone as it says, and that its proof looks at that too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentflow.llm.script_file import read_scripts
from agentflow.testing import FinishedRun, Harness
from examples.refunds.agent import refunds
from examples.refunds.checkout import checkout
from examples.refunds.consequences import undone_cases, verified_steps
from examples.refunds.customers import LATECOMERS, Buyer
from examples.refunds.proof import Evidence
from examples.refunds.servers import SCRIPT
from examples.refunds.shop.ledger import Entry
from tests.integration.shops import OpenShop, evidence_of, open_shop

JONAS, KARIM, LOTTE = LATECOMERS
WIRE = {"order_id": "4471", "amount_cents": 24900, "reference": "a/b"}
SOFA = {"item": "sofa", "price_cents": 119900}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenShop]:
    with open_shop(tmp_path / "shop.jsonl") as opened:
        monkeypatch.setenv("SHOP_URL", opened.shop.url)
        yield opened


def test_the_shop_wires_as_often_as_it_is_asked_and_tells_of_a_reference(shop: OpenShop) -> None:
    before = httpx2.get(f"{shop.shop.url}/wires/a%2Fb").status_code
    receipts = [post(shop, "/wires", WIRE).json()["refund_id"] for _ in range(2)]
    after = httpx2.get(f"{shop.shop.url}/wires/a%2Fb").json()["refund_id"]

    assert (before, receipts, after) == (404, ["W-4471-1", "W-4471-2"], "W-4471-1")
    assert [entry.event for entry in shop.log] == ["sought", "asked", "paid", "asked", "paid", "sought"]


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        pytest.param("/refunds", {"order_id": "4471", "amount_cents": 1}, 422, id="to a card what was wired"),
        pytest.param("/wires", {**WIRE, "order_id": "4417", "amount_cents": 1}, 422, id="by wire what a card paid"),
        pytest.param("/wires", {**WIRE, "amount_cents": 24901}, 422, id="more than was wired"),
        pytest.param("/wires", {"order_id": "4471", "amount_cents": 1}, 400, id="without a reference"),
    ],
)
def test_the_shop_gives_no_money_back(shop: OpenShop, path: str, body: Mapping[str, Any], refusal: int) -> None:
    assert post(shop, path, body).status_code == refusal
    assert not [entry for entry in shop.log if entry.event == "paid"]


def test_the_shop_takes_charges_and_cancels_an_order_once_per_key(shop: OpenShop) -> None:
    placed = [post(shop, "/orders", SOFA, "a").status_code for _ in range(2)]
    charged = [post(shop, "/orders/5001/charge", {"card": "tok_visa"}, "b").status_code for _ in range(2)]
    cancelled = [post(shop, "/orders/5001/cancellation", {}, "c").status_code for _ in range(2)]
    declined = post(shop, "/orders/5001/charge", {"card": LOTTE.input.model_dump()["card"]}, "d")
    unknown = post(shop, "/orders/5002/cancellation", {}, "e")

    assert placed == charged == cancelled == [201, 200]
    assert (declined.status_code, unknown.status_code) == (402, 404)
    assert [entry.event for entry in shop.log] == ["ordered", "charged", "cancelled", "declined"]


def test_a_wire_that_left_before_its_worker_died_is_verified_and_not_sent_again(
    shop: OpenShop, agentflow: Harness
) -> None:
    run = refunded(agentflow, JONAS, crash_after="wire_refund")
    evidence = evidence_of(shop, agentflow, run, JONAS)

    assert [entry.event for entry in shop.log] == ["asked", "paid", "sought"]
    assert (run.attempts("wire_refund"), evidence.faults()) == (1, [])
    assert [step.tool_name for _, step in verified_steps(evidence.cases)] == ["wire_refund"]
    assert [(each.what, each.answer) for each in evidence.failures()] == [("worker lost", "verified: happened")]


def test_a_wire_that_never_left_is_sent_once_it_is_verified_that_it_did_not(shop: OpenShop, agentflow: Harness) -> None:
    run = refunded(agentflow, JONAS, crash_before="wire_refund")

    assert [entry.event for entry in shop.log] == ["sought", "asked", "paid"]
    assert (run.attempts("wire_refund"), evidence_of(shop, agentflow, run, JONAS).faults()) == (2, [])


def test_a_large_refund_is_made_once_a_person_has_approved_it(shop: OpenShop, agentflow: Harness) -> None:
    waiting = refunded(agentflow, KARIM)
    nobody_called = shop.log == []

    sound = approved(shop, agentflow, waiting)

    assert (waiting.status, nobody_called, sound.cases[0].run.status) == ("waiting_human", True, "done")
    assert [entry.event for entry in shop.log] == ["asked", "paid"]
    assert (sound.faults(), sound.approvals()[0].asked["decided_by"]) == ([], "Lena")


def test_the_proof_finds_a_large_refund_that_nobody_approved_or_too_late(shop: OpenShop, agentflow: Harness) -> None:
    sound = approved(shop, agentflow, refunded(agentflow, KARIM))
    early = [dataclasses.replace(entry, at="2026-01-01T00:00:00+00:00") for entry in sound.shop_log]

    assert dataclasses.replace(sound, asked=[]).faults() == [
        "the refund 'refund:4480' was made, and nobody approved it"
    ]
    assert dataclasses.replace(sound, shop_log=early).faults() == [
        "the shop was asked for 'refund:4480' before a person had approved it"
    ]


def test_an_order_whose_charge_is_declined_is_cancelled_whatever_worker_is_lost(
    shop: OpenShop, agentflow: Harness
) -> None:
    run = agentflow.run(checkout, LOTTE.input, crash_after=["place_order", "charge_card", "compensate"])
    evidence = evidence_of(shop, agentflow, run, LOTTE)

    assert (run.status, run.record.compensation, evidence.faults()) == ("failed", "done", [])
    assert [entry.event for entry in shop.log] == ["ordered", "declined", "cancelled"]
    assert [row["payload"]["subject"] for row in run.outbox] == ["Your order 5001 is cancelled"]
    assert [case.order_id for case in undone_cases(evidence.cases)] == ["5001"]


def test_an_order_that_is_charged_is_confirmed(shop: OpenShop, agentflow: Harness) -> None:
    assert isinstance(LOTTE, Buyer)
    solvent = dataclasses.replace(LOTTE, card="tok_visa")

    run = agentflow.run(checkout, solvent.input)

    assert (run.status, run.result) == ("done", "5001")
    assert [entry.event for entry in shop.log] == ["ordered", "charged"]
    assert evidence_of(shop, agentflow, run, solvent).faults() == []


def test_the_proof_finds_an_order_that_is_left_and_one_that_is_nobodys(shop: OpenShop, agentflow: Harness) -> None:
    sound = evidence_of(shop, agentflow, agentflow.run(checkout, LOTTE.input), LOTTE)
    nobodys = Entry("ordered", "x", "5002", 1, sound.shop_log[0].at)

    left = dataclasses.replace(sound, shop_log=[entry for entry in sound.shop_log if entry.event != "cancelled"])
    more = dataclasses.replace(sound, shop_log=[*sound.shop_log, nobodys])
    none = dataclasses.replace(sound, shop_log=[])

    assert left.faults() == ["order 5001 was cancelled 0 times, and its run is failed"]
    assert more.faults() == ["the shop has the order 5002, and no run knows of it"]
    assert none.faults() == ["the order of Lotte was never placed"]


def post(shop: OpenShop, path: str, body: Mapping[str, Any], key: str = "k") -> httpx2.Response:
    return httpx2.post(f"{shop.shop.url}{path}", json=body, headers={"Idempotency-Key": key})


def refunded(agentflow: Harness, customer: Any, **crashes: Any) -> FinishedRun:
    return agentflow.run(refunds, customer.input, user=customer.address, model=read_scripts(SCRIPT), **crashes)


def approved(shop: OpenShop, agentflow: Harness, run: FinishedRun) -> Evidence:
    """Approve what a run waits for, and return what it came to."""
    client = agentflow.client
    [asked] = client.approvals.list(run_id=run.run_id)
    client.approvals.approve(str(asked["approval_id"]), by="Lena")
    agentflow.work(agentflow.runtime(refunds, model=read_scripts(SCRIPT)))
    ended = FinishedRun.read(client, run.run_id, [])
    evidence = evidence_of(shop, agentflow, ended, KARIM)
    return dataclasses.replace(evidence, asked=client.approvals.list(status=None))
