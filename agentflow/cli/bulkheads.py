"""The bulkheads as an operator sees them: what is registered, what is paused, and how each stands at the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agentflow.cli.figures import age, duration, moment, one_line
from agentflow.cli.registered import registered_tools
from agentflow.client import Client
from agentflow.client.bulkheads import breakers_of
from agentflow.store import holds


def bulkheads(client: Client) -> tuple[list[dict[str, Any]], str]:
    """Return every tool and model with `held`, `waiting` and `gate`, and what could not be asked, if anything.

    `held` is None unless it is paused; `gate` is None where Redis did not answer. What is paused though no worker has
    registered it any more comes last, as of kind `gone`.
    """
    found = registered_tools(client)
    held = {row["bulkhead"]: dict(row) for row in client.tools.held()}
    waiting = client.database.atomically(holds.waiting)
    stands, trouble = _at_gate(client)
    gone = [{"name": name, "kind": "gone", "agents": [], "served_by": []} for name in held]
    known = {each["name"] for each in found}
    rows = [*found, *(each for each in gone if each["name"] not in known)]
    return [
        {
            **each,
            "held": held.get(each["name"]),
            "waiting": waiting.get(each["name"], 0),
            "gate": stands.get(each["name"]),
        }
        for each in rows
    ], trouble


def state_of(row: Mapping[str, Any]) -> str:
    """Return in words whether calls may begin: paused, by the breaker, by a wish of the other side, or ok."""
    words = ["paused"] if row["held"] else []
    gate = row["gate"]
    if gate is None:
        return ", ".join([*words, "breaker unknown"])
    reason = f" ({one_line(gate['reason'])})" if gate["reason"] else ""
    if gate["breaker"] == "open":
        words.append(f"breaker open for {duration(gate['open_for_s'])}{reason}")
    elif gate["breaker"] == "half_open":
        words.append(f"breaker half open{reason}")
    if gate["throttled_for_s"] > 0:
        words.append(f"throttled for {duration(gate['throttled_for_s'])}")
    return ", ".join(words) or "ok"


def slots_of(row: Mapping[str, Any]) -> str:
    """Return the slots in use and how many there are, with those declared where fewer are given out for a while."""
    if row["gate"] is None or "limits" not in row:
        return ""
    declared = row["limits"]["slots"]
    now = row["gate"]["slots"] or declared
    return f"{row['gate']['in_use']}/{now}" + (f" of {declared}" if now < declared else "")


def hold_line(row: Mapping[str, Any], now: Any) -> str:
    """Return who paused it, since when, and why."""
    held = row["held"]
    since = f"{moment(held['held_at'])} ({age(held['held_at'], now)})"
    return f"{row['name']} is paused by {one_line(held['held_by'])} since {since}: {one_line(held['reason'])}"


def _at_gate(client: Client) -> tuple[dict[str, dict[str, Any]], str]:
    gate = client.gate
    if gate is None:
        return {}, "no Redis is known"
    known: Mapping[str, Sequence[str]] = breakers_of(client.agents())
    try:
        found = gate.states({name: breakers[0] for name, breakers in known.items()})
    except OSError as error:
        return {}, str(error)
    return {each.name: asdict(each) for each in found}, ""
