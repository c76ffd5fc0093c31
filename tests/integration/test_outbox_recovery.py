"""Relays that die, freeze or are never asked: nothing is lost or sent twice, and one message is in doubt at most."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from agentflow.client.outbox import Messages
from agentflow.domain.claim import Claim
from agentflow.domain.hint import relay_hint
from agentflow.domain.outcome import AttemptOutcome
from agentflow.engine import relay_gate
from agentflow.engine.deadman import boottime
from agentflow.engine.relay_batch import Batch
from agentflow.engine.sweeper import Sweeper
from agentflow.gate.redis_gate import RedisGate
from agentflow.outbox.kinds import builtin_kinds
from agentflow.policy.relaying import MAX_LOST
from agentflow.settings import Settings
from agentflow.testing import Harness
from agentflow.testing.crashes import SimulatedCrash
from agentflow.testing.hints import CollectedHints
from tests.integration.faulty import Answer, Arrival, Fault
from tests.integration.outpost import PARCEL, Outpost, arrived, parcels, taken
from tests.integration.outside import Endpoint
from tests.integration.post_office import CUT, PostOffice

pytest_plugins = ["tests.integration.gate_server", "tests.integration.outside_server"]

LONG_AGO = "clock_timestamp() - interval '1 hour'"


class CrashAt:
    """The relay's process is gone when it comes to a point for the nth time."""

    def __init__(self, point: str, times: int = 1) -> None:
        self._point, self._left = point, times

    def __call__(self, point: str, claim: Claim | None = None, outcome: AttemptOutcome | None = None) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                raise SimulatedCrash(point)


class Alarm:
    """A dead man's timer that kills nobody, and notes what it was set to."""

    def __init__(self) -> None:
        self.armed: list[bool] = []

    def arm(self, at: float) -> None:
        self.armed.append(True)

    def disarm(self) -> None:
        self.armed.append(False)


def crash(outpost: Outpost, point: str, times: int = 1) -> None:
    outpost.runtime.reached = CrashAt(point, times)
    with pytest.raises(SimulatedCrash):
        outpost.relay()


@pytest.mark.parametrize("effect", ["unsafe", "keyed", "idempotent"])
@pytest.mark.parametrize(
    ("point", "caught", "handed_over"),
    [("before_sending", 2, True), ("after_sending", 3, False), ("after_delivery", 3, True)],
    ids=["before the commit", "before the call", "before the record"],
)
def test_a_crash_leaves_one_message_in_doubt_at_most_and_loses_none(
    agentflow: Harness, endpoint: Endpoint, effect: str, point: str, caught: int, handed_over: bool
) -> None:
    kind = parcels(endpoint, effect=effect)
    message_ids = Outpost(agentflow).queue(10)
    crash(Outpost(agentflow, kind), point, times=4)
    outpost = Outpost(agentflow, kind)
    outpost.relay()
    assert len(endpoint.arrivals) == caught + handed_over, "the rest is still in the hands of the dead"

    outpost.end_leases()
    outpost.sweep()
    outpost.make_due()
    outpost.relay()

    is_in_doubt = effect == "unsafe"
    expected = Counter(message_ids)
    expected[message_ids[caught]] = handed_over + (not is_in_doubt)
    assert Counter(arrived(endpoint)) == +expected
    assert Counter(outpost.statuses()) == ({"sent": 9, "in_doubt": 1} if is_in_doubt else {"sent": 10})
    assert outpost.causes() == ({"outbox_in_doubt"} if is_in_doubt else set())


def test_a_doubt_says_until_when_the_message_can_have_left(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow, parcels(endpoint))
    [message_id] = outpost.queue()
    crash(outpost, "after_sending")
    until = outpost.row(message_id)["lease_until"]
    outpost.sql("update agentflow.outbox set lease_until = lease_until - interval '1 hour'")

    outpost.sweep()

    error = outpost.row(message_id)["error"]
    assert error["kind"] == "lost"
    said = until.timestamp() - 3600
    assert f"at any time until {error['until']}" in error["message"]
    query = "select extract(epoch from %(until)s::timestamptz)"
    assert float(outpost.value(query, until=error["until"])) == pytest.approx(said, abs=0.01)


@pytest.mark.parametrize(("on_doubt", "status"), [("ask", "in_doubt"), ("resend", "pending")])
def test_a_mail_server_that_drops_the_connection_after_the_dot_leaves_a_doubt_or_a_repeat_as_configured(
    agentflow: Harness, on_doubt: Any, status: str
) -> None:
    with PostOffice().serving() as office:
        url = f"smtp://{office.address}?starttls=off&from=agent@example.com"
        kinds = builtin_kinds(Settings(smtp_url=url, email_on_doubt=on_doubt))
        outpost = Outpost(agentflow, kinds["email"])
        [message_id] = outpost.queue(kind="email")
        outpost.sql("""update agentflow.outbox set payload = '{"to": "a@example.com", "subject": "s", "body": "b"}'""")
        office.answers["DATA"] = CUT
        outpost.relay("email")
        assert outpost.row(message_id)["status"] == status

        office.answers.clear()
        outpost.make_due()
        outpost.relay("email")
        kinds["email"].deliver.__self__.close()  # type: ignore[attr-defined]

    assert len(office.arrivals) == (1 if on_doubt == "ask" else 2)
    assert len({arrival.message["message-id"] for arrival in office.arrivals}) == 1


def test_a_frozen_relays_messages_are_sent_by_another_and_the_one_in_its_hands_is_resolved_when_it_thaws(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    frozen, thaw = threading.Event(), threading.Event()

    def freeze_at_the_first(arrival: Arrival) -> Fault:
        if len(endpoint.arrivals) == 1:
            frozen.set()
            assert thaw.wait(10)
        return Answer()

    endpoint.answers(freeze_at_the_first)
    kind = parcels(endpoint)
    first, second = Outpost(agentflow, kind), Outpost(agentflow, kind)
    message_ids = first.queue(10)
    relay = threading.Thread(target=first.relay)
    relay.start()
    assert frozen.wait(10)

    first.end_leases()
    second.sweep()
    assert second.row(message_ids[0])["status"] == "in_doubt"
    second.relay()
    assert Counter(second.statuses()) == {"sent": 9, "in_doubt": 1}
    thaw.set()
    relay.join(10)

    assert Counter(arrived(endpoint)) == Counter(message_ids)
    assert set(second.statuses()) == {"sent"}


def test_what_is_delivered_after_a_person_gave_it_up_is_told(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow, parcels(endpoint))
    [message_id] = outpost.queue()

    def give_it_up(arrival: Arrival) -> Fault:
        outpost.end_leases()
        outpost.sweep()
        Messages(agentflow.database, "default", agentflow.hints).resolve(message_id, "failed", reason="lost", by="ada")
        return Answer()

    endpoint.answers(give_it_up)
    outpost.relay()

    assert outpost.row(message_id)["status"] == "failed", "a person's word stands"
    assert outpost.causes() == {"outbox_in_doubt", "outbox_late"}


def test_the_timer_is_armed_while_a_message_is_in_hand_and_never_otherwise(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    seen: list[bool] = []
    alarm = Alarm()

    def look(arrival: Arrival) -> Fault:
        seen.append(alarm.armed[-1])
        return Answer(503)

    endpoint.answers(look)
    outpost = Outpost(agentflow, parcels(endpoint), timer=alarm)
    outpost.queue(3)

    outpost.relay()

    assert seen == [True] * 3
    assert alarm.armed[-1] is False


def test_the_messages_of_a_dead_worker_go_back_before_their_leases_end_where_that_does_no_harm(
    agentflow: Harness, endpoint: Endpoint
) -> None:
    keyed, unsafe = parcels(endpoint, effect="keyed", name="keyed"), parcels(endpoint, name="unsafe")
    dead, judge = Outpost(agentflow, keyed, unsafe), Outpost(agentflow, keyed, unsafe)
    for name in ("keyed", "unsafe"):
        dead.queue(2, kind=name)
        dead.runtime.reached = CrashAt("after_sending")
        with pytest.raises(SimulatedCrash):
            dead.relay(name)
    [dead_id, judge_id] = [each.runtime.worker.worker_id for each in (dead, judge)]
    dead.sql(f"update agentflow.workers set heartbeat_at = {LONG_AGO} where worker_id = %(id)s", id=dead_id)
    judge.sweep()
    assert Counter(judge.statuses()) == {"sending": 2, "claimed": 2}, "the judge may be as deaf as the other is silent"

    dead.sql(f"update agentflow.workers set unbroken_since = {LONG_AGO} where worker_id = %(id)s", id=judge_id)
    judge.sweep()

    rows = judge.sql("select kind, status from agentflow.outbox order by kind, item")
    assert [(row["kind"], row["status"]) for row in rows] == [
        ("keyed", "pending"),
        ("keyed", "pending"),
        ("unsafe", "sending"),
        ("unsafe", "pending"),
    ]


@pytest.mark.parametrize(("effect", "left"), [("keyed", "pending"), ("idempotent", "pending"), ("unsafe", "sending")])
def test_a_dead_childs_messages_go_back_on_its_parents_word_where_that_does_no_harm(
    agentflow: Harness, endpoint: Endpoint, effect: str, left: str
) -> None:
    outpost = Outpost(agentflow, parcels(endpoint, effect=effect))
    outpost.queue(2)
    crash(outpost, "after_sending")
    hints = CollectedHints()
    sweeper = Sweeper(agentflow.database, hints, hints, outpost.runtime.worker.worker_id)

    sweeper.report_dead_children(lambda: [outpost.runtime.worker.pid])
    assert outpost.statuses() == ["sending", "claimed"], "the child lives"
    sweeper.report_dead_children(list)

    assert outpost.statuses() == [left, "pending"]


def test_a_message_that_kills_every_relay_comes_to_its_ceiling(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow, parcels(endpoint, effect="keyed"))
    [message_id] = outpost.queue()

    for _ in range(MAX_LOST):
        crash(outpost, "after_sending")
        outpost.end_leases()
        outpost.sweep()
        outpost.make_due()

    row = outpost.row(message_id)
    assert (row["status"], row["failures"]) == ("failed", {"lost": MAX_LOST})
    assert outpost.causes() == {"outbox_failed"}


def test_the_slot_of_a_lost_delivery_is_given_back(agentflow: Harness, endpoint: Endpoint, gate: RedisGate) -> None:
    kind = parcels(endpoint)
    outpost = Outpost(agentflow, kind, gate=gate)
    outpost.queue()
    batch = Batch.claim(outpost.runtime, kind)
    relay_gate.enter(outpost.runtime, kind, batch.rest[0])
    assert batch.hand_over(batch.rest[0], boottime())
    assert gate.states({kind.bulkhead: kind.bulkhead})[0].in_use == 1

    outpost.end_leases()
    outpost.sweep()

    assert gate.states({kind.bulkhead: kind.bulkhead})[0].in_use == 0


def test_a_lost_hint_is_given_again_once_and_only_where_none_waits(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow, parcels(endpoint))
    outpost.queue(3)
    assert outpost.sweep() == [], "the hint of its commit may be on its way"
    outpost.make_due()
    now = [100.0]
    recovery, hints = outpost.recovery(now=lambda: now[0])

    for _ in range(3):
        recovery.sweep()
    assert taken(hints) == [relay_hint(PARCEL)]

    now[0] += 60
    recovery.sweep()
    now[0] += 60
    recovery.sweep()
    assert taken(hints) == [relay_hint(PARCEL)], "the one before is still in its queue"


def test_every_kind_that_is_due_is_hinted(agentflow: Harness) -> None:
    outpost = Outpost(agentflow)
    for kind in ("email", PARCEL, "webhook"):
        outpost.queue(kind=kind)
    outpost.make_due()
    later = "clock_timestamp() + interval '1 hour'"
    outpost.sql(f"update agentflow.outbox set next_attempt_at = {later} where kind = '{PARCEL}'")

    assert outpost.sweep() == [relay_hint("email"), relay_hint("webhook")]


def test_a_queue_that_cannot_be_looked_into_gets_no_hint(agentflow: Harness) -> None:
    class Unreachable:
        def oldest(self, queue: str) -> tuple[str, int | None] | None:
            raise OSError(queue)

    outpost = Outpost(agentflow)
    outpost.queue()
    outpost.make_due()
    recovery, hints = outpost.recovery(Unreachable())

    recovery.sweep()

    assert taken(hints) == []


def test_messages_that_no_worker_serves_are_told_of_after_a_while(agentflow: Harness, endpoint: Endpoint) -> None:
    outpost = Outpost(agentflow)
    [served] = outpost.queue(kind="email")
    [orphan] = outpost.queue(kind="pigeon")
    outpost.make_due()
    outpost.sweep()
    assert outpost.causes() == set(), "a pool may just be starting again"

    outpost.sql(f"update agentflow.outbox set next_attempt_at = {LONG_AGO}")
    outpost.sweep()

    assert [alert["cause"] for alert in agentflow.client.alerts()] == ["outbox_unserved:pigeon"]
    assert outpost.row(orphan)["error"]["kind"] == "unserved"
    assert (outpost.row(served)["error"], outpost.row(orphan)["status"]) == (None, "pending")


def test_a_sweep_sees_to_the_outbox_too(agentflow: Harness) -> None:
    outpost = Outpost(agentflow)
    outpost.queue(kind="email")
    outpost.make_due()
    hints = CollectedHints()

    assert Sweeper(agentflow.database, hints, hints, outpost.runtime.worker.worker_id).sweep()

    assert relay_hint("email") in taken(hints)
