"""Owns the agents of these loads: what their tools and models take, and how they come to wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agentflow import (
    Agent,
    Budget,
    Context,
    Delivery,
    Done,
    Limits,
    NewStep,
    Next,
    Pipeline,
    Run,
    Step,
    ToolError,
    Wait,
    Workflow,
    delivery,
    tool,
)
from agentflow.llm.scripted import call, calls, scripted

MODEL_S, TOOL_S = 0.3, 0.05
TURNS = 2
WIDTHS = (10, 100)
PROMPT_BYTES, PROMPT_TURNS = 20_000, 5
STEPS = 5
CARDS = 100

_LONG_S = 86_400.0
_WIDE = Limits(slots=256)
_PATIENT = Budget(time_s=30 * _LONG_S)
_ROOMY = Budget(steps=300, tool_calls=300, attempts=400)


@tool(effect="read", limits=_WIDE)
def look_up(order_id: str, part: int) -> str:
    """Look up one part of an order, which takes its time."""
    threading.Event().wait(TOOL_S)
    return f"part {part} of {order_id} is on its way"


asking = Agent("asking", model="openai:gpt-4o-mini", tools=[look_up], limits=_WIDE)


def pass_on(number: int) -> int:
    """Answer what was given."""
    return number


line = Pipeline("plain_line", [tool(effect="read", name=f"plain_{place}")(pass_on) for place in range(STEPS)])


@tool(effect="read", limits=_WIDE)
def fetch_part(part: int) -> int:
    """Fetch one of many parts."""
    return part


@tool(effect="read")
def join_parts(parts: int) -> int:
    """Put parts together."""
    return parts


def spread(run: Run, history: Sequence[Step]) -> Next | Wait | Done:
    """Ask for as many parts as the input says at once, and for one step that joins them."""
    if not history:
        return Next([NewStep("fetch_part", {"part": part}) for part in range(run.input["width"])])
    if any(step.is_open for step in history):
        return Wait()
    if history[-1].tool_name == "join_parts":
        return Done(history[-1].output)
    return Next([NewStep("join_parts", {"parts": len(history)})])


spreading = Workflow("spreading", decide=spread, tools=[fetch_part, join_parts], budget=_ROOMY)


def gather(width: int) -> Agent:
    """Return an agent whose model asks for as many parts at once."""
    asked = calls(*(call("fetch_part", part=part) for part in range(width)))
    return Agent(f"gathering_{width}", model=scripted(asked, "All parts are here."), tools=[fetch_part], budget=_ROOMY)


gathering_few, gathering_many = (gather(width) for width in WIDTHS)


@tool(effect="read")
def take_note(turn: int) -> str:
    """Take a note."""
    return f"noted {turn}"


@tool(effect="read", approval=True)
def wait_for_a_person(number: int) -> int:
    """Do what a person has approved."""
    return number


@tool(effect="read", limits=Limits(slots=256, retry_floor=1_000_000))
def wait_for_a_time(ctx: Context, number: int) -> int:
    """Be told to come back in a day; then do it."""
    if ctx.attempt == 1:
        raise ToolError("come back tomorrow", kind="transient", retry_after_s=_LONG_S)
    return number


@tool(effect="read")
def wait_for_an_operator(number: int) -> int:
    """Wait behind a tool that an operator has stopped."""
    return number


for_a_person = Pipeline("for_a_person", [wait_for_a_person], budget=_PATIENT)
for_a_time = Pipeline("for_a_time", [wait_for_a_time], budget=_PATIENT)
for_an_operator = Pipeline("for_an_operator", [wait_for_an_operator], budget=_PATIENT)

writing = Agent(
    "writing",
    model=scripted(*(call("take_note", turn=turn) for turn in range(PROMPT_TURNS - 1)), "All is noted."),
    tools=[take_note],
)


@delivery("card", effect="idempotent", limits=_WIDE)
def card(message: Delivery) -> None:
    """Take a message, and do no more."""


@tool(effect="read")
def post_cards(ctx: Context, number: int) -> int:
    """Send many messages at once."""
    for place in range(CARDS):
        ctx.outbox.send("card", {"number": number, "place": place, "text": "Your order is on its way." * 10})
    return CARDS


posting = Pipeline("posting", [post_cards])
