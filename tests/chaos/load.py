"""Owns the load: an endless stream of submissions of all kinds, decided by a seed, and what each is to come to."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow import Client, Notify

DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Submission:
    """A run to be submitted, and how it ends in a world without faults, where people do their part.

    `endings` are the statuses that it may come to, `compensation` what the run says of its undoing, `outcome` what it
    says beside `done`. `submit` may be called again until it returns: it is the same run.
    """

    kind: str
    agent: str
    input: Any
    key: str
    endings: Sequence[str] = (DONE,)
    outcome: str | None = None
    compensation: Sequence[str | None] = (None,)
    conversation: str | None = None
    notify: Notify | None = None

    def submit(self, client: Client) -> str:
        """Submit the run and return its id."""
        handle = client.submit(
            self.agent,
            self.input,
            idempotency_key=self.key,
            conversation=self.conversation,
            user=f"user of {self.kind}",
            notify=self.notify,
        )
        return handle.run_id

    def objections(self, status: str, outcome: str | None, compensation: str | None) -> list[str]:
        """Say what is not as it should be in a run that ended in a world without faults."""
        found = {"status": (status, self.endings), "compensation": (compensation, self.compensation)}
        if status == DONE and self.outcome is not None:
            found["outcome"] = outcome, (self.outcome,)
        return [
            f"{self.kind}: its {what} is {is_!r}, not one of {may!r}"
            for what, (is_, may) in found.items()
            if is_ not in may
        ]


Maker = Callable[["Load", str, random.Random], Sequence[Submission]]


class Load:
    """An iterator without end. A round has each kind, in an order of its own. Some runs tell of their end."""

    def __init__(self, seed: int, hooks_url: str | None = None) -> None:
        self._seed = seed
        self._draw = random.Random(seed)
        self._hooks_url = hooks_url
        self._count = 0

    def __iter__(self) -> Iterator[Submission]:
        while True:
            for make in self._draw.sample(KINDS, len(KINDS)):
                yield from make(self, self._name(), self._draw)

    def notice(self, draw: random.Random) -> Notify | None:
        """Say whom a run tells of itself, if anybody."""
        chosen = draw.choice(("nobody", "mail", "hook"))
        if chosen == "mail":
            return Notify(email="desk@shop.example")
        if chosen == "hook" and self._hooks_url:
            return Notify(webhook=f"{self._hooks_url}/notices")
        return None

    def _name(self) -> str:
        self._count += 1
        return f"s{self._seed}-n{self._count}"


def _pipeline(agent: str, **expected: Any) -> Maker:
    def make(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
        order = {"item": name, "cents": draw.randrange(100, 5_000), "seat": name}
        return [Submission(agent, agent, order, name, notify=load.notice(draw), **expected)]

    return make


def _rivals(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """Two runs that want the same seat: one books it, the other is told what the first was."""
    return [Submission("booking", "booking", {"item": f"{name}-{who}", "seat": name}, f"{name}-{who}") for who in "ab"]


def _wires(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """A small wire, and a large one that somebody is asked about."""
    small = {"item": f"{name}-small", "cents": draw.randrange(1, 5_000)}
    large = {"item": f"{name}-large", "cents": draw.randrange(5_001, 90_000)}
    return [
        Submission("wiring", "wiring", small, f"{name}-small"),
        Submission("wiring-asked", "wiring", large, f"{name}-large", (DONE, FAILED), compensation=(None,)),
    ]


def _fans(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    items = [f"{name}-{place}" for place in range(draw.randrange(2, 5))]
    return [
        Submission("fan", "fan", {"items": items, "undo": False}, name),
        Submission("fan-undone", "fan", {"items": items, "undo": True}, f"{name}-u", (FAILED,), compensation=("done",)),
    ]


def _clerk(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """An agent that does a bit of everything, some of it side by side."""
    cents = draw.randrange(100, 5_000)
    plan: list[Any] = [
        [_call("look", item=name), _call("glance", item=name), _call("pay", item=name, cents=cents)],
        [_call("glance", item=name), _call("charge", item=name, cents=cents), _call("light", item=name)],
        [_call("book", seat=name), _call("enter", item=name)],
        [_call("announce", item=name)],
        {"echo": "All done: "},
    ]
    return [Submission("clerk", "clerk", _said(plan), name, notify=load.notice(draw))]


def _talk(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """A conversation of several runs, each of which waits for the one before."""
    turns = [f"{name}-{turn}" for turn in range(draw.randrange(2, 4))]
    plans = [[[_call("look", item=turn), _call("pay", item=turn, cents=150)], f"Paid for {turn}."] for turn in turns]
    return [
        Submission("talk", "clerk", _said(plan), turn, conversation=name)
        for turn, plan in zip(turns, plans, strict=True)
    ]


def _desk(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """An agent that asks a person, has a wire approved, or refused, and hands over in the end or does not."""
    hands_over = draw.random() < 0.5
    plan: list[Any] = [
        [_call("ask_desk", question=f"May {name} leave?"), _call("look", item=name)],
        [_call("wire", item=name, cents=draw.randrange(5_001, 90_000)), _call("pay", item=name, cents=200)],
        [_call("hand_over", item=name)] if hands_over else "That is all.",
    ]
    return [Submission("desk", "desk", _said(plan), name, outcome="handoff" if hands_over else None)]


def _quitter(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """An agent whose last tool fails, and that makes the best of it: what it did stays."""
    plan: list[Any] = [
        [_call("pay", item=name, cents=300), _call("charge", item=name, cents=300)],
        [_call("light", item=name), _call("refuse", item=name)],
        "It could not be had.",
    ]
    return [Submission("quitter", "quitter", _said(plan), name)]


def _thrifty(load: Load, name: str, draw: random.Random) -> Sequence[Submission]:
    """An agent that may call two tools, and wants three: what it has got until then is its result."""
    plan = [
        [_call("look", item=name)],
        [_call("pay", item=name, cents=400)],
        [_call("look", item="more")],
        "Never said.",
    ]
    return [Submission("thrifty", "thrifty", _said(plan), name, outcome="partial")]


def _call(name: str, **arguments: Any) -> Mapping[str, Any]:
    return {"name": name, "arguments": arguments}


def _said(plan: Sequence[Any]) -> str:
    return json.dumps({"plan": plan})


KINDS: Sequence[Maker] = (
    _pipeline("buying"),
    _pipeline("charging"),
    _pipeline("lighting"),
    _pipeline("announcing"),
    _pipeline("shipping"),
    _pipeline("fickle", endings=(DONE, CANCELLED), compensation=(None, "done")),
    _pipeline("undone", endings=(FAILED,), compensation=("done",)),
    _pipeline("kept", endings=(FAILED,), compensation=(None,)),
    _pipeline("asked", endings=(FAILED,), compensation=("done", "kept")),
    _rivals,
    _wires,
    _fans,
    _clerk,
    _talk,
    _desk,
    _quitter,
    _thrifty,
)
