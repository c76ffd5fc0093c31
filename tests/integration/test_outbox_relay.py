"""A relay and its messages: each leaves once, is tried again where that is right, and waits where it may not go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from agentflow import Breaker, Context, Limits, Pipeline, Rate, ToolError, tool
from agentflow.declare.delivery import DeliveryKind, delivery
from agentflow.domain.delivery import Delivery
from agentflow.domain.hint import relay_hint
from agentflow.engine import relaying
from agentflow.engine.visiting import QUOTA_HOLD_S
from agentflow.gate.redis_gate import RedisGate
from agentflow.policy.relaying import MAX_ATTEMPTS
from agentflow.store import deliveries, holds
from agentflow.testing import Harness
from tests.integration.faulty import Answer, Arrival, Cut, Fault, Hang
from tests.integration.hands import Hands
from tests.integration.outpost import PARCEL, Outpost, arrived, parcels, taken
from tests.integration.outside import Endpoint

pytest_plugins = ["tests.integration.gate_server", "tests.integration.outside_server"]


@tool(effect="keyed")
def ship(ctx: Context, order_id: str) -> str:
    ctx.outbox.send(PARCEL, {"order_id": order_id, "key": ctx.idempotency_key})
    return "shipped"


shipping = Pipeline("shipping", [ship])


@pytest.fixture
def outpost(agentflow: Harness, endpoint: Endpoint) -> Outpost:
    return Outpost(agentflow, parcels(endpoint))


def test_a_message_leaves_once_its_step_is_recorded_and_what_was_answered_is_kept(
    agentflow: Harness, endpoint: Endpoint, outpost: Outpost
) -> None:
    hands = Hands(agentflow, shipping)
    run_id = hands.begin(shipping, {"order_id": "4421"})
    outpost.relay()
    assert arrived(endpoint) == []

    hands.do(run_id)
    outpost.relay()
    outpost.relay()

    [message] = agentflow.client.outbox(run_id)
    assert arrived(endpoint) == [str(message["message_id"])]
    assert (message["status"], message["attempt"], message["response"]) == ("sent", 1, {"status": 200})
    assert message["sent_at"] is not None


def test_two_relays_at_once_send_200_messages_once_each_though_redis_is_flushed(
    agentflow: Harness, endpoint: Endpoint, gate: RedisGate, gate_redis: redis.Redis
) -> None:
    def flush_at_the_50th(arrival: Arrival) -> Fault:
        if len(endpoint.arrivals) == 50:
            gate_redis.flushall()
        return Answer()

    endpoint.answers(flush_at_the_50th)
    relays = [Outpost(agentflow, parcels(endpoint), gate=gate) for _ in range(2)]
    message_ids = relays[0].queue(200)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(Outpost.relay, relays))

    assert Counter(arrived(endpoint)) == Counter(message_ids)
    assert set(relays[0].statuses()) == {"sent"}
    assert {row["attempt"] for row in relays[0].sql("select attempt from agentflow.outbox")} == {1}
    assert len({row["worker_id"] for row in relays[0].sql("select worker_id from agentflow.outbox")}) == 2


def test_a_failure_that_passes_is_tried_again_later_under_the_same_id(outpost: Outpost, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503), Answer())
    [message_id] = outpost.queue()
    outpost.relay()

    waiting = outpost.row(message_id)
    assert (waiting["status"], waiting["failures"], waiting["error"]["kind"]) == (
        "pending",
        {"transient": 1},
        "transient",
    )
    assert 0 < outpost.due_in_s(message_id) <= 1
    outpost.relay()
    assert len(endpoint.arrivals) == 1, "it is not due"

    outpost.make_due()
    outpost.relay()
    assert outpost.row(message_id)["status"] == "sent"
    assert arrived(endpoint) == [message_id] * 2
    assert [arrival.headers["attempt"] for arrival in endpoint.arrivals] == ["1", "2"]


def test_a_wish_to_be_left_alone_is_granted(outpost: Outpost, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(429, {"Retry-After": "120"}))
    [message_id] = outpost.queue()

    outpost.relay()

    assert 119 < outpost.due_in_s(message_id) < 130


def test_what_is_refused_for_good_has_failed_and_a_person_is_told(outpost: Outpost, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(400, body={"error": "no such order"}), Answer())
    refused, taken_ = outpost.queue(2)

    outpost.relay()

    assert (outpost.row(refused)["status"], outpost.row(taken_)["status"]) == ("failed", "sent")
    [alert] = outpost.harness.client.alerts()
    assert (alert["cause"], alert["topic"]) == (f"outbox_failed:{refused}", f"outbox_failed:{PARCEL}")
    assert "no such order" in alert["message"]


def test_a_message_that_never_gets_through_fails_at_its_ceiling(outpost: Outpost, endpoint: Endpoint) -> None:
    endpoint.answers(Answer(503))
    [message_id] = outpost.queue()
    outpost.sql("update agentflow.outbox set failures = jsonb_build_object('transient', %(n)s)", n=MAX_ATTEMPTS - 2)

    outpost.relay()
    assert outpost.row(message_id)["status"] == "pending"
    outpost.make_due()
    outpost.relay()

    row = outpost.row(message_id)
    assert (row["status"], row["error"]["reason"]) == ("failed", "budget_attempts")


@pytest.mark.parametrize(
    ("effect", "answer", "status", "alerts"),
    [
        ("unsafe", Cut(), "in_doubt", {"outbox_in_doubt"}),
        ("unsafe", Hang(), "in_doubt", {"outbox_in_doubt"}),
        ("unsafe", Answer(500), "in_doubt", {"outbox_in_doubt"}),
        ("keyed", Cut(), "pending", set()),
        ("keyed", Hang(), "pending", set()),
        ("idempotent", Answer(500), "pending", set()),
    ],
    ids=["unsafe cut", "unsafe hang", "unsafe 500", "keyed cut", "keyed hang", "idempotent 500"],
)
def test_what_may_have_arrived_is_repeated_only_where_that_does_no_harm(
    agentflow: Harness, endpoint: Endpoint, effect: str, answer: Fault, status: str, alerts: set[str]
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint, effect=effect))
    endpoint.answers(answer, Answer())
    [message_id] = outpost.queue()

    outpost.relay()
    assert (outpost.row(message_id)["status"], outpost.causes()) == (status, alerts)

    outpost.make_due()
    outpost.relay()
    assert arrived(endpoint) == [message_id] * (1 if effect == "unsafe" else 2)


def test_a_repeat_that_could_overwrite_waits_until_the_first_can_have_landed(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint, effect="idempotent"))
    endpoint.answers(Cut())
    [message_id] = outpost.queue()

    outpost.relay()

    assert 13 < outpost.due_in_s(message_id) <= 15, "its timeout of 5 s, and the margin of 10 s"


def test_a_delivery_that_overruns_is_interrupted_and_the_next_goes_on(agentflow: Harness, endpoint: Endpoint) -> None:
    ready: list[str] = []

    @delivery(PARCEL, effect="unsafe", timeout_s=0.2)
    def hang_first(message: Delivery) -> None:
        ready.append(message.message_id)
        while len(ready) == 1:
            continue

    outpost = Outpost(agentflow, hang_first)
    hung, next_one = outpost.queue(2)

    outpost.relay()

    assert (outpost.row(hung)["status"], outpost.row(next_one)["status"]) == ("in_doubt", "sent")
    assert outpost.row(hung)["error"]["kind"] == "timeout"


def test_a_bug_in_a_kind_harms_its_own_message_alone(agentflow: Harness) -> None:
    reported: list[str] = []

    @delivery(PARCEL, effect="keyed")
    def fail_at_the_first(message: Delivery) -> Any:
        if message.payload["n"] == 0:
            raise KeyError("n")
        return {"not": object()} if message.payload["n"] == 1 else "x" * 100_000

    outpost = Outpost(agentflow, fail_at_the_first)
    outpost.runtime.report_bug = lambda error, *, run_id, step_index, tool: reported.append(tool)
    broken, odd, long = outpost.queue(3)

    outpost.relay()

    assert [outpost.row(each)["status"] for each in (broken, odd, long)] == ["failed", "sent", "sent"]
    assert reported == ["outbox.parcel"]
    assert len(str(outpost.row(long)["response"])) < 20_000


def test_a_relay_whose_turn_is_over_gives_back_what_it_has_and_asks_for_another(
    outpost: Outpost, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "TURN_S", 0.05)
    endpoint.answers(Answer(delay_s=0.02))
    message_ids = outpost.queue(50)

    outpost.relay()

    sent = len(endpoint.arrivals)
    assert 0 < sent < 50
    assert Counter(outpost.statuses()) == {"sent": sent, "pending": 50 - sent}
    assert taken(outpost.harness.hints) == [relay_hint(PARCEL)]
    monkeypatch.undo()
    outpost.relay()
    assert arrived(endpoint) == message_ids


def test_a_hand_over_whose_commit_was_not_answered_is_known_again(outpost: Outpost) -> None:
    first_id, second_id = outpost.queue(2)
    database, worker = outpost.harness.database, outpost.runtime.worker
    token = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"
    first, second = database.glance(
        lambda tx: deliveries.claim(tx, PARCEL, "outbox.parcel", token=token, worker=worker, lease_s=9, most=9)
    )

    def hand_over(sent: Any, following: Any) -> Sequence[bool]:
        done = database.glance(
            lambda tx: deliveries.hand_over(tx, sent, {}, following, token=token, bulkhead="outbox.parcel", lease_s=9)
        )
        return done.is_sent, done.is_sending

    assert [hand_over(None, first.attempt) for _ in range(2)] == [(False, True)] * 2
    assert [hand_over(first.attempt, second.attempt) for _ in range(2)] == [(True, True)] * 2
    assert [outpost.row(each)["attempt"] for each in (first_id, second_id)] == [1, 1]
    assert outpost.statuses() == ["sent", "sending"]


@pytest.mark.parametrize("unconfigured", ["set PARCEL_URL", None], ids=["unconfigured", "unknown"])
def test_messages_that_a_worker_cannot_deliver_wait_and_one_person_is_told_once(
    agentflow: Harness, unconfigured: str | None
) -> None:
    kind = DeliveryKind(PARCEL, lambda message: None, effect="keyed", unconfigured=unconfigured)
    outpost = Outpost(agentflow, *([kind] if unconfigured else []))
    message_ids = outpost.queue(3)

    outpost.relay()

    why = "unconfigured" if unconfigured else "unserved"
    assert {outpost.row(each)["status"] for each in message_ids} == {"pending"}
    assert {outpost.row(each)["error"]["kind"] for each in message_ids} == {why}
    assert 55 < outpost.due_in_s(message_ids[0]) <= 60
    assert [alert["cause"] for alert in agentflow.client.alerts()] == [f"outbox_{why}:{PARCEL}"]
    outpost.relay()
    assert [alert["count"] for alert in agentflow.client.alerts()] == [1]


def test_what_a_late_delivery_would_harm_is_not_sent_by_threads(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow, parcels(endpoint, effect="unsafe"), isolated=False)
    outpost.queue()

    outpost.relay()

    assert (arrived(endpoint), outpost.causes()) == ([], {"outbox_unserved"})


def test_behind_an_open_breaker_messages_wait_and_no_attempt_is_spent(
    agentflow: Harness, endpoint: Endpoint, gate: RedisGate
) -> None:
    limits = Limits(breaker=Breaker(failures=2, within_s=60, open_s=60))
    outpost = Outpost(agentflow, parcels(endpoint, effect="keyed", limits=limits), gate=gate)
    endpoint.answers(Answer(503))
    message_ids = outpost.queue(50)

    outpost.relay()

    assert len(endpoint.arrivals) == 2
    behind = [outpost.row(each) for each in message_ids[2:20]]
    assert {(row["status"], row["attempt"], row["error"]["kind"]) for row in behind} == {("pending", 0, "breaker_open")}
    assert outpost.due_in_s(message_ids[2]) > 55
    assert taken(outpost.harness.hints) == [], "the sweeper looks again, in time"


def test_a_host_that_is_down_holds_up_nobody_elses_messages(
    agentflow: Harness, endpoint: Endpoint, gate: RedisGate
) -> None:
    endpoint.answers(lambda arrival: Answer(503 if b'"down"' in arrival.body else 200))
    limits = Limits(breaker=Breaker(failures=2, within_s=60, open_s=60))
    plain = parcels(endpoint, effect="keyed")
    by_host = DeliveryKind(PARCEL, plain.deliver, effect="keyed", limits=limits, breaker_of=lambda each: each["host"])
    outpost = Outpost(agentflow, by_host, gate=gate)
    down, up = outpost.queue(30, host="down"), outpost.queue(30, host="up")

    outpost.relay()

    assert {outpost.row(each)["status"] for each in up} == {"sent"}
    assert sum(each in down for each in arrived(endpoint)) == 2
    assert {outpost.row(each)["error"]["kind"] for each in down[2:]} == {"breaker_open"}


def test_a_kinds_rate_is_kept(agentflow: Harness, endpoint: Endpoint, gate: RedisGate) -> None:
    kind = parcels(endpoint, effect="keyed", limits=Limits(rates=(Rate(3, per_s=60),)))
    outpost = Outpost(agentflow, kind, gate=gate)
    message_ids = outpost.queue(10)

    outpost.relay()

    assert arrived(endpoint) == message_ids[:3]
    assert {outpost.row(each)["error"]["kind"] for each in message_ids[3:]} == {"rate_limit"}
    assert outpost.due_in_s(message_ids[3]) == pytest.approx(20, abs=1)


def test_without_credit_the_message_fails_and_the_others_wait_behind_the_breaker(
    agentflow: Harness, endpoint: Endpoint, gate: RedisGate
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint), gate=gate)
    endpoint.answers(Answer(402))
    first, second = outpost.queue(2)

    outpost.relay()

    assert [outpost.row(each)["status"] for each in (first, second)] == ["failed", "pending"]
    assert outpost.due_in_s(second) == pytest.approx(QUOTA_HOLD_S, abs=10)
    assert outpost.causes() == {"outbox_failed"}

    endpoint.answers(Answer())
    gate.close_breaker("outbox.parcel")
    agentflow.database.atomically(lambda tx: holds.hasten_behind_breaker(tx, ["outbox.parcel"]))
    outpost.relay()
    assert outpost.row(second)["status"] == "sent", "a person has mended it"


def test_what_an_operator_holds_waits_until_it_is_released_even_in_the_middle_of_a_batch(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint))
    database = agentflow.database

    def hold_at_the_second(arrival: Arrival) -> Fault:
        if len(endpoint.arrivals) == 2:
            database.atomically(lambda tx: holds.hold(tx, "outbox.parcel", "wrong text", "ada"))
        return Answer()

    endpoint.answers(hold_at_the_second)
    message_ids = outpost.queue(5)

    outpost.relay()
    assert arrived(endpoint) == message_ids[:2]
    assert outpost.statuses() == ["sent", "sent", "pending", "pending", "pending"]
    outpost.make_due()
    assert outpost.sweep() == [], "nothing may leave, so nobody is asked to look"

    database.atomically(lambda tx: holds.release(tx, "outbox.parcel"))
    outpost.relay()
    assert arrived(endpoint) == message_ids


def test_a_kind_may_say_itself_that_nothing_has_happened(agentflow: Harness) -> None:
    @delivery(PARCEL, effect="unsafe")
    def be_busy(message: Delivery) -> None:
        raise ToolError("busy", kind="transient", happened=False)

    outpost = Outpost(agentflow, be_busy)
    [message_id] = outpost.queue()

    outpost.relay()

    assert outpost.row(message_id)["status"] == "pending"
