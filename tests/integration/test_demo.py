"""Shows that the refund agent, its shop and the demo's proof tell the truth, and that a demo leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.llm.script_file import read_scripts
from agentflow.local import status
from agentflow.local.locks import try_lock
from agentflow.testing import Harness, call, scripted
from examples.refunds.agent import Ticket, refunds
from examples.refunds.customers import CUSTOMERS, Customer
from examples.refunds.servers import SCRIPT
from examples.refunds.shop.ledger import Ledger
from tests.integration.local_users import ROOT, is_alive, wait_until
from tests.integration.shops import ADA, OpenShop, evidence_of, open_shop

REFUND = {"order_id": "4417", "amount_cents": 4990}


COMMAND = [sys.executable, "-m", "examples.refunds.demo"]
DEMO_S = 120


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenShop]:
    with open_shop(tmp_path / "shop.jsonl") as opened:
        monkeypatch.setenv("SHOP_URL", opened.shop.url)
        yield opened


def test_the_shop_pays_once_per_key_and_logs_each_request(shop: OpenShop) -> None:
    replies = [shop.refund(REFUND) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [201, 200, 200]
    assert {reply.json()["refund_id"] for reply in replies} == {"R-4417-1"}
    assert [entry.event for entry in shop.log] == ["asked", "paid", "asked", "asked"]


def test_the_shop_pays_again_under_another_key(shop: OpenShop) -> None:
    replies = [shop.refund(REFUND, key) for key in ("a", "b")]

    assert [reply.json()["refund_id"] for reply in replies] == ["R-4417-1", "R-4417-2"]


@pytest.mark.parametrize(
    ("body", "key", "refusal"),
    [
        pytest.param(REFUND, None, 400, id="without a key"),
        pytest.param({"order_id": "4417"}, "k", 400, id="without an amount"),
        pytest.param({"order_id": "9999", "amount_cents": 1}, "k", 404, id="of an unknown order"),
        pytest.param({"order_id": "4417", "amount_cents": 4991}, "k", 422, id="of more than was paid"),
        pytest.param({"order_id": "4417", "amount_cents": -1}, "k", 422, id="of less than nothing"),
        pytest.param({"order_id": "4402", "amount_cents": 1}, "k", 422, id="of an order that is too old"),
    ],
)
def test_the_shop_refuses_a_refund(shop: OpenShop, body: object, key: str | None, refusal: int) -> None:
    assert shop.refund(body, key).status_code == refusal
    assert not [entry for entry in shop.log if entry.event == "paid"]


def test_the_shop_refuses_a_key_that_stands_for_another_refund(shop: OpenShop) -> None:
    shop.refund(REFUND)

    reply = shop.refund({"order_id": "4417", "amount_cents": 100})

    assert (reply.status_code, reply.text) == (422, "the key 'k' stands for 4990 cents of order 4417")


def test_the_shop_remembers_its_payments_when_it_opens_again(tmp_path: Path) -> None:
    for is_new in (True, False):
        with Ledger(tmp_path / "log") as ledger:
            assert ledger.pay("k", "4417", 4990)[1] is is_new


@pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda customer: customer.name)
def test_each_customer_is_answered_once_whatever_worker_is_lost(
    shop: OpenShop, agentflow: Harness, customer: Customer
) -> None:
    run = agentflow.run(
        refunds,
        customer.ticket,
        user=customer.address,
        model=read_scripts(SCRIPT),
        crash_after=["model", "lookup_order", "issue_refund", "send_customer_email"],
    )

    assert evidence_of(shop, agentflow, run).faults() == []
    assert [row["payload"]["to"] for row in run.outbox] == [customer.address]
    assert run.attempts("issue_refund") == sum(entry.event == "asked" for entry in shop.log)


@pytest.mark.usefixtures("shop")
def test_the_model_is_told_in_the_shops_own_words_what_the_shop_refuses(agentflow: Harness) -> None:
    model = scripted(
        call("lookup_order", order_id="9999"), call("issue_refund", order_id="4417", amount_cents=9000), "no"
    )

    run = agentflow.run(refunds, ADA.ticket, model=model)

    # What stands before the shop's words is the status, whose phrase is not the same in every Python.
    assert [step.error["message"].partition(": ")[2] for step in run.steps if step.error] == [
        "there is no order '9999'",
        "4990 cents of order 4417 can be refunded: delivered 3 days ago, refunds are given for 30 days",
    ]


def test_two_tickets_for_one_order_are_one_refund(shop: OpenShop, agentflow: Harness) -> None:
    tickets = [Ticket(sender=f"{name}@example.com", customer_email="4417") for name in ("a", "b")]
    model = scripted(call("issue_refund", order_id="4417", amount_cents=4990), "done")

    runs = [agentflow.run(refunds, ticket, model=model) for ticket in tickets]

    assert [run.steps[1].output["refund_id"] for run in runs] == ["R-4417-1", "R-4417-1"]
    assert [entry.event for entry in shop.log] == ["asked", "paid"]


def test_the_proof_finds_what_is_twice_and_what_is_missing(shop: OpenShop, agentflow: Harness) -> None:
    run = agentflow.run(refunds, ADA.ticket, user=ADA.address, model=read_scripts(SCRIPT))
    sound = evidence_of(shop, agentflow, run)
    paid = sound.shop_log[-1]

    twice = dataclasses.replace(sound, shop_log=[*sound.shop_log, dataclasses.replace(paid, key="other")])
    missing = dataclasses.replace(sound, shop_log=[])
    silent = dataclasses.replace(sound, outbox=[])
    doubled = dataclasses.replace(sound, outbox=[*sound.outbox, *sound.outbox])

    assert sound.faults() == []
    assert twice.faults() == [
        "order 4417 was refunded 2 times",
        "the shop made the refund 'other', and no run knows of it",
    ]
    assert missing.faults() == ["the refund 'refund:4417' is recorded, and the shop never made it"]
    assert silent.faults() == [f"step 6 of run {run.run_id} queued 0 e-mails"]
    assert doubled.faults() == [f"step 6 of run {run.run_id} queued 2 e-mails"]


def test_the_proof_finds_a_run_that_is_stuck(shop: OpenShop, agentflow: Harness) -> None:
    sound = evidence_of(shop, agentflow, agentflow.run(refunds, ADA.ticket, model=scripted("done")))
    case = sound.cases[0]

    stuck = dataclasses.replace(
        sound, cases=[dataclasses.replace(case, run=dataclasses.replace(case.run, status="running"))]
    )

    assert stuck.faults() == ["the run of Ada is running"]


@pytest.mark.slow
def test_the_demo_proves_that_nothing_was_done_twice(tmp_path: Path) -> None:
    demo = run_demo(tmp_path)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Nothing twice, nothing forgotten, nobody called before their time." in demo.stdout
    assert re.search(r"Bruno +model +529 transient +again after \d\.\d s +\d+\.\d s +ok, try 2", demo.stdout)
    assert re.search(r"Bruno +issue_refund +429 rate_limited +again after 2\.\d s +\d+\.\d s +ok", demo.stdout)
    assert re.search(r"Emil +lookup_order +503 transient +again after", demo.stdout)
    assert re.search(r"Ada +issue_refund +worker lost +again, same key +ok, try 2", demo.stdout)
    assert re.search(r"Jonas +wire_refund +timeout +verified: happened +ok", demo.stdout)
    assert re.search(r"Lotte +charge_card +402 tool_error +the run is undone +error", demo.stdout)
    assert re.search(r"\$ agentflow approvals approve [0-9a-f]{8} --by Lena\n +'issue_refund'", demo.stdout)
    assert re.search(r"put off: 451 +chen@example\.com", demo.stdout)
    assert re.search(r"4417 +Ada +1 +1 +1 +2 +1 +\$49\.90 +1/1\s", demo.stdout)
    assert re.search(r"4471 +Jonas +1 +1 +1 +1 +1 +\$249\.00 +1/1\s", demo.stdout)
    assert re.search(r"5001 +Lotte +1 +1 +0 +0 +0 +- +1/1\s", demo.stdout)
    assert re.search(r"all +13 +12 +8 +\d+ +7 +\$2,739\.40 +12/12\s", demo.stdout)
    for said in ("4471: paid, and no answer", "4480: above $500.00", "5001: the card was declined", "12 e-mails went"):
        assert said in demo.stdout
    assert max(len(line) for line in demo.stdout.splitlines() if str(tmp_path) not in line) <= 80
    assert_nothing_is_left(demo.stdout, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_is_left_of_a_demo_that_is_ended(tmp_path: Path, end: signal.Signals) -> None:
    # A shell that starts the tests in its background has them, and what they start, ignore SIGINT.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    with started as demo:
        assert demo.stdout is not None
        said = ""
        while "The help desk" not in said:
            said += demo.stdout.readline()
        demo.send_signal(end)
        said += demo.stdout.read()

    assert demo.returncode == (130 if end is signal.SIGINT else -end)
    assert_nothing_is_left(said, tmp_path)


def test_a_second_demo_in_the_same_folder_says_that_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    lock = try_lock(tmp_path / "demo" / "demo.lock")
    assert lock is not None

    demo = run_demo(tmp_path)

    lock.release()
    assert demo.returncode == 1
    assert "set AGENTFLOW_DATA_DIR" in demo.stdout


def run_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, env=environment(folder), capture_output=True, text=True, timeout=DEMO_S, check=False)


def environment(folder: Path) -> dict[str, str]:
    """A machine without keys, whose own services are out of the demo's reach."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    elsewhere = {
        "AGENTFLOW_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "AGENTFLOW_REDIS_URL": "redis://127.0.0.1:1",
    }
    return {**kept, **elsewhere, "AGENTFLOW_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}


def assert_nothing_is_left(said: str, folder: Path) -> None:
    pids = [int(pid) for pid in re.findall(r"pid\s+(\d+)", said)]
    assert len(pids) >= 3
    wait_until(lambda: not any(map(is_alive, pids)))
    wait_until(lambda: status(folder / "demo") is None)
