"""Owns the agents of the load, and what a stack that serves them needs: a table, settings, secrets to look for."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg2

from agentflow import (
    Agent,
    Budget,
    Compensate,
    Done,
    Fail,
    NewStep,
    Next,
    Partial,
    Pipeline,
    Run,
    Step,
    StepStatus,
    Wait,
    Workflow,
)
from tests.chaos import outside
from tests.chaos.outside import LIMITS
from tests.chaos.tools import (
    announce,
    ask_desk,
    book,
    charge,
    darken,
    enter,
    fax,
    glance,
    hand_over,
    light,
    look,
    pay,
    refuse,
    send_fax,
    send_sms,
    ship,
    wire,
)  # fmt: skip

if TYPE_CHECKING:
    from tests.world.process import World

# A worker knows the kinds of messages by the modules that it is told to load.
DELIVERIES = (send_sms, send_fax)
MODEL = "openai:gpt-4o-mini"
MAIL_PASSWORD = "canary-of-the-mail-server"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"canary-of-webhooks-0123456789abcd").decode()
WORLD_TOKEN = "canary-of-the-world"
MODEL_KEY = "canary-of-the-model"
CANARIES = (MAIL_PASSWORD, WEBHOOK_SECRET, WORLD_TOKEN, MODEL_KEY)
BUDGET = Budget(
    steps=200,
    tool_calls=150,
    attempts=500,
    cost_usd=5.0,
    time_s=3600,
    same_call=50,
    repairs=20,
    compensation_attempts=200,
)

_LEDGER = "create table if not exists public.ledger (key text, run_id text, step_index integer)"


def prepare(database_url: str) -> None:
    """Make the table, outside agentflow's schema, that transactional tools write to."""
    with psycopg2.connect(database_url.replace("postgresql+psycopg2", "postgresql")) as connection:
        connection.cursor().execute(_LEDGER)
    connection.close()


def environment(world: World) -> Mapping[str, str]:
    """Return what workers have to know, beside where the servers and the model are."""
    return {
        outside.URL: world.url,
        outside.TOKEN: WORLD_TOKEN,
        "OPENAI_API_KEY": MODEL_KEY,
        "AGENTFLOW_SMTP_URL": f"{world.smtp_url}&from=shop@shop.example&timeout=3",
        "AGENTFLOW_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "AGENTFLOW_WEBHOOK_PRIVATE": "127.0.0.1",
    }


def _agent(name: str, tools: Sequence[Any], on_failure: Any = "ask") -> Agent:
    return Agent(
        name,
        model=MODEL,
        instructions="Do as the plan says.",
        tools=list(tools),
        budget=BUDGET,
        limits=LIMITS,
        model_timeout_s=6,
        on_failure=on_failure,
    )


def _pipeline(name: str, *tools: Any, on_failure: Any = "compensate") -> Pipeline:
    return Pipeline(name, list(tools), budget=BUDGET, on_failure=on_failure)


buying = _pipeline("buying", look, pay, enter)
charging = _pipeline("charging", charge, enter)
lighting = _pipeline("lighting", light, darken)
announcing = _pipeline("announcing", announce, fax)
booking = _pipeline("booking", book, enter)
shipping = _pipeline("shipping", ship, enter)
wiring = _pipeline("wiring", wire, enter)
undone = _pipeline("undone", pay, charge, book, light, refuse)
kept = _pipeline("kept", pay, charge, refuse, on_failure="keep")
asked = _pipeline("asked", pay, light, refuse, on_failure="ask")

fickle = _pipeline("fickle", pay, charge, book, light, look, enter)

clerk = _agent("clerk", [look, glance, pay, enter, charge, book, light, announce])
desk = _agent("desk", [look, pay, wire, ask_desk, hand_over])
quitter = _agent("quitter", [pay, charge, light, refuse], on_failure="compensate")
thrifty = Agent(
    "thrifty",
    model=MODEL,
    tools=[look, pay],
    budget=replace(BUDGET, tool_calls=2),
    limits=LIMITS,
    model_timeout_s=6,
    fallback=Partial(),
)


def fan_out(run: Run, history: Sequence[Step]) -> Next | Wait | Done | Fail | Compensate:
    """Pay for everything side by side; then, as the input wants it, be done or have it all undone."""
    if not history:
        return Next([NewStep("pay", {"item": item, "cents": 100}) for item in run.input["items"]])
    if any(step.is_open for step in history):
        return Wait()
    if any(step.status is not StepStatus.OK for step in history):
        return Fail("pay_failed", "an item could not be paid for")
    return Compensate("it was all a mistake") if run.input["undo"] else Done([step.output for step in history])


fan = Workflow("fan", decide=fan_out, tools=[pay], budget=BUDGET)
