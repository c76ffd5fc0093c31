"""Owns the agents whose runs make up the history: a pipeline, and a conversation of a model with its tools."""

from __future__ import annotations

import os

from agentflow import Agent, Context, Delivery, Pipeline, delivery, tool
from agentflow.llm.scripted import Answer, ScriptedCall, call, calls, scripted

STEPS_VARIABLE = "BENCH_GROWTH_STEPS"
STEPS = int(os.environ.get(STEPS_VARIABLE, "10"))

LINE, TALK = "history_line", "history_talk"

_GOODBYE = "Your order is on its way."


def answers(steps: int) -> list[Answer]:
    """Return a model's answers that make a run of so many steps: every other step is the model's."""
    thoughts = (steps + 1) // 2
    asked = [_asked(part) for part in range(steps - thoughts)]
    if len(asked) < thoughts:
        return [*asked, _GOODBYE]
    # One tool call too many for the turns: the first turn asks for two at once.
    return [calls(*asked[:2]), *asked[2:], _GOODBYE]


def _asked(part: int) -> ScriptedCall:
    return call("look_up", order_id="4421", part=part) if part else call("book_carrier", order_id="4421")


@delivery("note", effect="idempotent")
def note(message: Delivery) -> None:
    """Take a message, and do no more."""


@tool(effect="read")
def look_up(order_id: str, part: int) -> dict[str, object]:
    """Look up one part of an order."""
    return {"order_id": order_id, "part": part, "status": "shipped", "carrier": "the usual one"}


@tool(effect="idempotent", key="carrier:{order_id}")
def book_carrier(ctx: Context, order_id: str) -> str:
    """Book a carrier for an order, and tell the customer."""
    ctx.outbox.send("note", {"order_id": order_id, "text": _GOODBYE})
    return "booked"


def pass_on(number: int) -> int:
    """Answer what was given."""
    return number


line = Pipeline(LINE, [tool(effect="read", name=f"work_{place}")(pass_on) for place in range(STEPS)])
talk = Agent(
    TALK, model=scripted(*answers(STEPS)), instructions="Say where an order is.", tools=[look_up, book_carrier]
)
