"""Owns a healthy database: runs of every class of effect that ended as they should, and the evidence of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import text

from agentflow.declare.declaration import Declaration
from agentflow.domain.identity import Worker, new_token
from agentflow.domain.step import Effect
from agentflow.store import deliveries
from agentflow.store.database import Transaction, probe_engine
from agentflow.testing import FinishedRun, Harness, call, calls, scripted
from tests.checker import deeds
from tests.checker.evidence import Evidence, Fault

NAMES = ("look_up", "charge", "set_state", "book", "send_parcel", "enter")


@dataclass(frozen=True, slots=True)
class Healthy:
    """What was lived through: the evidence, and each run by its name."""

    evidence: Evidence
    runs: Mapping[str, str]


class Life:
    """Lives through the runs, one after the other, and keeps which faults were made on the way."""

    def __init__(self, database_url: str) -> None:
        self.harness = Harness(database_url)
        self.faults: list[Fault] = []
        self.runs: dict[str, str] = {}

    def run(self, name: str, agent: Declaration, given: object, *answers: object, **how: object) -> FinishedRun:
        """Run an agent and keep the run by a name; where it crashes, that is a fault."""
        began_at = time.time()
        model = {"model": scripted(*answers)} if answers else {}
        run = self.harness.run(agent, given, **model, **how)  # type: ignore[arg-type]
        if "crash_after" in how:
            self.faults.append(Fault("kill_child", name, began_at, time.time()))
        self.runs[name] = run.run_id
        return run


def live(database_url: str) -> Healthy:
    """Live through runs of every kind, and return what is left of them."""
    deeds.OUTSIDE.clear()
    with probe_engine(database_url).begin() as connection:
        connection.execute(text("create table public.ledger (key text, run_id text, step_index int)"))
    life = Life(database_url)
    with closing(life.harness):
        _errands(life)
        _people(life)
        _undone(life)
        life.harness.database.atomically(_deliver)
    accepted = list(life.runs.values())
    return Healthy(Evidence(database_url, tuple(deeds.OUTSIDE), accepted, faults=life.faults), life.runs)


def _errands(life: Life) -> None:
    everything = calls(*(call(name, order_id="1") for name in NAMES))
    life.run("errands", deeds.errands, "Do all of it.", everything, "All is done.", conversation="first")
    again = [call("look_up", order_id="1"), "It is paid."]
    life.run("asking", deeds.errands, "What became of it?", *again, conversation="first")
    life.run("booking", deeds.bookings, "Book.", call("book", order_id="2"), "Booked.", crash_after="book")
    life.run("thinking", deeds.bookings, "Hello?", "Hello.", crash_after="model")
    life.run("charging", deeds.charging, {"order_id": "3"})
    life.run("charged", deeds.charging, {"order_id": "3"})
    life.run("setting", deeds.errands, "Set.", call("set_state", order_id="1"), "Set.")


def _people(life: Life) -> None:
    send = [call("send_parcel", order_id="4"), "It is on its way."]
    life.run("parcel", deeds.parcels, "Send.", *send, crash_after="send_parcel", conversation="second")
    life.run("behind", deeds.parcels, "And?", *send, conversation="second")
    told = life.run("told", deeds.parcels, "Send.", *send, crash_after="send_parcel")
    life.harness.client.operations.resolve(told.run_id, "happened", answer="sent 4", by="ann")
    life.harness.work(life.harness.runtime(deeds.parcels, model=scripted(*send)))
    life.run("gift", deeds.gifts, "Give.", call("give_away", order_id="5"), "Given.")
    paused = life.harness.client.submit("parcels", "Wait.")
    life.runs["paused"] = paused.run_id
    life.harness.client.operations.pause(paused.run_id, by="ann")
    life.harness.work(life.harness.runtime(deeds.parcels, model=scripted("never")))


def _undone(life: Life) -> None:
    life.run("undone", deeds.buying, {"order_id": "6"})
    life.run("kept", deeds.keeping, {"order_id": "7"})
    life.run("charged_again", deeds.charging, {"order_id": "6"})


def _deliver(tx: Transaction) -> None:
    """Carry out what is in the outbox by the relay's own statements, as if each message had gone well."""
    worker, token = Worker.of_this_process(), new_token()
    for kind, effect in (("email", Effect.UNSAFE), ("webhook", Effect.KEYED)):
        named = {"token": token, "bulkhead": f"outbox.{kind}"}
        for claimed in deliveries.claim(tx, kind, worker=worker, lease_s=9, most=9, **named):
            own = claimed.attempt
            deliveries.hand_over(tx, None, None, own, effect=effect, lease_s=9, **named)
            door, name = ("mail", f"<{own.message_id}@example.com>") if kind == "email" else ("hook", own.message_id)
            deeds.arrive(door, name, "")
            deliveries.hand_over(tx, own, {}, None, effect=effect, **named)
