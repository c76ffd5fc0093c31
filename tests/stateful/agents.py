"""The agents that the machine submits: each class alone, all in a row, loops, people, undoing, one key for two runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from agentflow import Agent, Budget, Context, Happened, NotHappened, Pipeline, ToolError, Unknown, tool
from agentflow.declare.declaration import Declaration
from agentflow.declare.question import ask_person
from agentflow.declare.tool import Tool
from agentflow.domain.errors import ModelError
from agentflow.testing import call, calls, scripted
from tests.stateful.outside import SETTLE_S, Manner, World

AnyTool = Tool[Any, Any]
MODEL = "openai:gpt-4o-mini"
CEILINGS = Budget(time_s=1800, tokens=20_000, cost_usd=0.1, attempts=25)
GATED = "refund"
SHARED = "reserve"
UNDOABLE = ("order", "pack", "hire")
REFUSED_NUMBER = 2
LEDGER = "create table public.ledger (key text, run_id uuid, step_index int, attempt int)"
_TURNS = 12


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The agents by name, and the models of those that think."""

    agents: Mapping[str, Declaration]
    models: Mapping[str, Any]


def catalogue(world: World) -> Catalogue:
    """Declare tools that act on a world, and the agents that use them."""
    look, book, charge = a_tool(world, "look", "read"), a_booking(), a_tool(world, "charge", "keyed")
    label, pay, send = (a_tool(world, *each) for each in _OTHERS)
    order, pack, hire = (undoable(world, name, *how) for name, how in zip(UNDOABLE, _UNDOABLE, strict=True))
    check, reserve = a_check(), a_tool(world, SHARED, "unsafe", key=f"{SHARED}:{{n}}")
    refund = a_tool(world, GATED, "unsafe", approval=True)
    singles = [Pipeline(f"only_{each.name}", [each], budget=CEILINGS) for each in (book, charge, label, pay, send)]
    pipelines = [
        *singles,
        Pipeline("all_in_a_row", [look, book, charge, label, pay, send], budget=CEILINGS),
        Pipeline("ordering", [order, book, pack, check], on_failure="compensate", budget=CEILINGS),
        Pipeline("asking_first", [order, check], on_failure="ask", budget=CEILINGS),
        Pipeline("sharing", [reserve], budget=CEILINGS),
        Pipeline("hiring", [hire, check], on_failure="compensate", budget=CEILINGS),
    ]
    clerk = Agent("clerk", model=MODEL, tools=[look, charge, book], budget=CEILINGS)
    cashier = Agent("cashier", model=MODEL, tools=[refund, ask_person()], budget=CEILINGS)
    wants = {"clerk": ("look", "charge", "book"), "cashier": (GATED, "ask_person")}
    models = {name: scripted(*[_thinking(world, *tools)] * _TURNS) for name, tools in wants.items()}
    return Catalogue({agent.name: agent for agent in (*pipelines, clerk, cashier)}, models)


_UNDOABLE = (("keyed",), ("verified",), ("unsafe", "hire:{n}"))
_OTHERS = (("label", "idempotent"), ("pay", "verified"), ("send", "unsafe"))


def a_tool(world: World, name: str, effect: str, **declared: Any) -> AnyTool:
    """A tool of some class that acts on the world under its key."""

    def act(ctx: Context, n: int) -> dict[str, Any]:
        return world.call(ctx, name, effect, n=n)

    settles = {"settle_s": SETTLE_S} if effect == "verified" else {}
    made: AnyTool = tool(effect=effect, name=name, timeout_s=5, **settles, **declared)(act)
    if effect == "verified":
        made.verify(_verifying(world, name))
    return made


def undoable(world: World, name: str, effect: str, key: str | None = None) -> AnyTool:
    """The same, and it can be undone, whether or not its result is known."""
    made = a_tool(world, name, effect, key=key)

    def take_back(ctx: Context, result: dict[str, Any] | None) -> None:
        world.undo(ctx, name)

    made.compensate(effect="idempotent")(take_back)
    return made


def a_check() -> AnyTool:
    """What ends a run in failure, for every second customer."""

    def check(n: int) -> str:
        if n == REFUSED_NUMBER:
            raise ToolError("refused", happened=False)
        return f"checked {n}"

    checking: AnyTool = tool(effect="read", timeout_s=5)(check)
    return checking


def a_booking() -> AnyTool:
    """A tool whose effects are a row in the same database, and a letter in the outbox."""

    def book(ctx: Context, n: int) -> str:
        values = {"key": ctx.idempotency_key, "run": ctx.run.run_id, "step": ctx.step_index, "attempt": ctx.attempt}
        ctx.connection.execute(text("insert into public.ledger values (:key, :run, :step, :attempt)"), values)
        ctx.outbox.email(to="a@example.com", subject="Booked", body=str(n))
        return f"booked {n}"

    booking: AnyTool = tool(effect="transactional", timeout_s=5)(book)
    return booking


def _verifying(world: World, name: str) -> Callable[..., Any]:
    def was_done(ctx: Context, n: int) -> Happened[dict[str, Any]] | NotHappened | Unknown:
        place = (name, ctx.idempotency_key)
        if not world.knows:
            return Unknown("the books are closed")
        return Happened(world.answer_of(place)) if world.has(place) else NotHappened()

    return was_done


def _thinking(world: World, *tools: str) -> Callable[[Any], Any]:
    """A model that wants all its tools side by side, and is content with whatever they say."""

    def think(request: Any) -> Any:
        if world.manner in {Manner.BUSY, Manner.CUT_AFTER}:
            return ModelError("busy", status=503)
        last = request.messages[-1]
        if last["role"] != "user":
            return "all done"
        n = int(re.findall(r"\d+", str(last["content"]))[-1])
        wanted = [call(each, question="Sure?") if each == "ask_person" else call(each, n=n) for each in tools]
        return calls(*wanted)

    return think
