"""Shows that the demo's shop and provider turn calls away, that the agent comes back, and that the proof looks."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from agentflow.gate.redis_gate import RedisGate
from agentflow.llm.script_file import read_scripts
from agentflow.llm.server import ModelServer
from agentflow.testing import Harness, scripted
from examples.refunds.agent import refunds
from examples.refunds.journal import Journal
from examples.refunds.patience import early_calls
from examples.refunds.provider import BusyModel, Overload, read_overloads
from examples.refunds.reservations import still_held
from examples.refunds.servers import SCRIPT
from examples.refunds.shop.ledger import Entry
from examples.refunds.shop.trouble import Trouble
from tests.integration.gate_visits import bulkhead, enter
from tests.integration.shops import ADA, OpenShop, evidence_of, open_shop

pytest_plugins = ["tests.integration.gate_server"]

REFUND = {"order_id": "4417", "amount_cents": 4990}
BUSY_S = 20.0
# Each look at the clock is this much later: the first request is turned away, the second is not.
STEP_S = 25.0


@pytest.fixture
def troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenShop]:
    """A shop that turns the first refund and the first lookup of Ada's order away, and believes that time flies."""
    clock = itertools.count(0.0, STEP_S)
    trouble = Trouble(busy_s={"4417": BUSY_S}, down=["4417"], clock=lambda: next(clock))
    with open_shop(tmp_path / "shop.jsonl", trouble) as opened:
        monkeypatch.setenv("SHOP_URL", opened.shop.url)
        yield opened


@pytest.fixture
def busy_model(tmp_path: Path) -> Iterator[BusyModel]:
    """The demo's script, from a provider that turns Ada's first two requests away."""
    with Journal(tmp_path / "model.jsonl") as journal:
        yield BusyModel(read_scripts(SCRIPT), journal, {ADA.address: 2})


def test_the_shop_turns_a_refund_away_with_429_until_its_time_is_over(tmp_path: Path) -> None:
    moments = iter([10.0, 10.5, 30.0])
    trouble = Trouble(busy_s={"4417": BUSY_S}, clock=lambda: next(moments))

    with open_shop(tmp_path / "log", trouble) as shop:
        replies = [shop.refund(REFUND) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [429, 429, 201]
    assert [reply.headers.get("Retry-After") for reply in replies] == ["20", "20", None]
    assert [entry.event for entry in shop.log] == ["asked", "refused", "asked", "refused", "asked", "paid"]


def test_the_shop_turns_a_lookup_away_with_503_once(troubled: OpenShop) -> None:
    replies = [troubled.look_up("4417") for _ in range(2)]

    assert [reply.status_code for reply in replies] == [503, 200]
    assert [(entry.event, entry.status) for entry in troubled.log] == [("refused", 503)]


def test_the_provider_turns_a_customers_first_requests_away_with_529_and_writes_that_down(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "log") as journal,
        ModelServer(BusyModel(scripted("hello"), journal, {"ada": 1})) as server,
    ):
        statuses = [ask(server.base_url, user).status_code for user in ("ada", "hugo", "ada")]

    assert statuses == [529, 200, 200]
    assert [overload.user for overload in read_overloads(tmp_path / "log")] == ["ada"]


def test_each_call_that_was_turned_away_is_answered_by_its_kind_and_made_again(
    troubled: OpenShop, agentflow: Harness, busy_model: BusyModel
) -> None:
    run = agentflow.run(refunds, ADA.ticket, user=ADA.address, model=busy_model)
    failures = evidence_of(troubled, agentflow, run).failures()

    assert run.status == "done"
    assert [(each.step.tool_name, each.what, each.ending) for each in failures] == [
        ("model", "529 transient", "ok, try 3"),
        ("model", "529 transient", "ok, try 3"),
        ("lookup_order", "503 transient", "ok, try 2"),
        ("issue_refund", "429 rate_limited", "ok, try 2"),
    ]
    assert [each.retry_after_s for each in failures] == [None, None, None, BUSY_S]
    assert BUSY_S <= (failures[-1].promised_s or 0) <= BUSY_S * 1.1
    assert [entry.event for entry in troubled.log if entry.key] == ["asked", "refused", "asked", "paid"]


def test_the_proof_finds_calls_that_came_before_their_time(troubled: OpenShop, agentflow: Harness) -> None:
    # The harness lets no time pass before a retry: what a test may do, the demo must not.
    run = agentflow.run(refunds, ADA.ticket, user=ADA.address, model=read_scripts(SCRIPT))

    by_database, by_shop = evidence_of(troubled, agentflow, run).faults()[-2:]

    assert re.fullmatch(r"step 4 of Ada's run was tried again after .+ s, before its time of 2.\... s", by_database)
    assert re.fullmatch(r"the shop was asked for 'refund:4417' again .+ s before its Retry-After was over", by_shop)


@pytest.mark.parametrize(
    ("again", "early"),
    [
        pytest.param(
            "00:00:11.999", ["the shop was asked for 'a' again 0.00 s before its Retry-After was over"], id="early"
        ),
        pytest.param("00:00:12.000", [], id="at its time"),
    ],
)
def test_a_call_is_early_while_the_shop_wants_to_be_left_alone(again: str, early: list[str]) -> None:
    refused = Entry("refused", "a", "1", 5, "2026-01-01T00:00:10+00:00", status=429, retry_after_s=2)
    asked = Entry("asked", "a", "1", 5, f"2026-01-01T{again}+00:00")
    another = dataclasses.replace(asked, key="b", at=refused.at)

    assert list(early_calls([refused, another, asked])) == early


def test_the_proof_finds_a_failure_that_is_in_one_log_alone(
    troubled: OpenShop, agentflow: Harness, busy_model: BusyModel, tmp_path: Path
) -> None:
    run = agentflow.run(refunds, ADA.ticket, user=ADA.address, model=busy_model)
    overloads = read_overloads(tmp_path / "model.jsonl")
    sound = dataclasses.replace(evidence_of(troubled, agentflow, run), overloads=overloads)
    early = sound.faults()

    more = dataclasses.replace(sound, overloads=[*overloads, Overload(ADA.address, overloads[0].at)])
    fewer = dataclasses.replace(sound, shop_log=[entry for entry in sound.shop_log if entry.status != 503])

    assert all("before its" in fault for fault in early)
    assert more.faults() == [*early, "ada@example.com was turned away with 529 3 times, and 2 of them are in the log"]
    assert fewer.faults() == [*early, "4417 was turned away with 503 0 times, and 1 of them are in the log"]


def test_the_proof_names_what_is_still_held_and_what_was_not_tried(troubled: OpenShop, agentflow: Harness) -> None:
    run = agentflow.run(refunds, ADA.ticket, model=scripted("done"))

    evidence = dataclasses.replace(evidence_of(troubled, agentflow, run), held=["a slot"], overloads=[])

    assert evidence.faults() == ["a slot"]
    assert evidence.untried() == [
        "no worker died in the middle of a refund",
        "the shop turned nobody away with 429",
        "the shop turned nobody away with 503",
        "the model's provider turned nobody away",
        "no call had to be verified",
        "no refund waited for a person",
        "no run was undone",
        "the mail server put no e-mail off",
    ]


def test_the_proof_asks_the_database_and_the_gate_what_is_still_held(agentflow: Harness, gate: RedisGate) -> None:
    agentflow.runtime(refunds)
    run_id = agentflow.client.submit("refunds", ADA.ticket).run_id
    reserve = text("update agentflow.agent_runs set reserved_tokens = 7 where run_id = :run_id")
    agentflow.database.atomically(lambda tx: tx.connection.execute(reserve, {"run_id": run_id}))
    enter(gate, bulkhead("issue_refund"))

    held = still_held(agentflow.client, gate, patience_s=0)

    assert held == [
        f"run {run_id} still reserves 7 tokens and $0.000000000",
        "1 slots of 'issue_refund' are still taken",
    ]


def ask(base_url: str, user: str) -> httpx2.Response:
    messages = [{"role": "user", "content": "hello"}]
    return httpx2.post(f"{base_url}/chat/completions", json={"model": "m", "user": user, "messages": messages})
