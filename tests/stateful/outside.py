"""Owns the world that tools act on: what was asked of it, what came true, what is still under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agentflow import Context, ToolError

SETTLE_S = 5.0
"""No request of a `verified` tool arrives later than this after it was sent."""


class Manner(StrEnum):
    """What becomes of the next call: answered, or failed with or without an effect, and with or without saying so."""

    ANSWERED = "answered"
    REFUSED = "refused"
    BUSY = "busy"
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that reached a tool's code."""

    tool: str
    effect: str
    key: str
    run_id: str
    step_index: int
    attempt: int
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request whose sender has given up on it, and that may still arrive, until a time."""

    asked: Asked
    until: float


Place = tuple[str, str]
"""A tool and the key that it was shown."""


@dataclass(slots=True)
class World:
    """The other side of every tool but the transactional ones."""

    manner: Manner = Manner.ANSWERED
    knows: bool = True
    now: float = 0.0
    calls: list[Asked] = field(default_factory=list)
    landed: dict[Place, list[Asked]] = field(default_factory=lambda: defaultdict(list))
    undone: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    under_way: list[UnderWay] = field(default_factory=list)

    def forget(self) -> None:
        """Begin anew."""
        self.manner, self.knows, self.now = Manner.ANSWERED, True, 0.0
        for each in (self.calls, self.landed, self.undone, self.under_way):
            each.clear()

    def call(self, ctx: Context, tool: str, effect: str, **arguments: Any) -> dict[str, Any]:
        """Do what a tool is for, in the manner of the day."""
        asked = Asked(tool, effect, ctx.idempotency_key, ctx.run.run_id, ctx.step_index, ctx.attempt, arguments)
        self.calls.append(asked)
        match self.manner:
            case Manner.REFUSED:
                raise ToolError("refused", happened=False)
            case Manner.BUSY:
                raise ToolError("busy", kind="transient", happened=False)
            case Manner.CUT_BEFORE:
                raise ToolError("cut", kind="transient")
            case Manner.LATE if effect in {"keyed", "verified", "unsafe"}:
                self.under_way.append(UnderWay(asked, self.now + SETTLE_S))
                raise ToolError("no answer", kind="timeout")
        self._land(asked)
        if self.manner is not Manner.ANSWERED:
            raise ToolError("cut", kind="transient")
        return self.answer_of((tool, asked.key))

    def answer_of(self, place: Place) -> dict[str, Any]:
        """Return what the call under a key gave."""
        return {"tool": place[0], "key": place[1]}

    def has(self, place: Place) -> bool:
        """Tell whether a call came true."""
        return bool(self.landed.get(place))

    def may_have(self, place: Place) -> bool:
        """Tell whether a call came true, or may yet."""
        return self.has(place) or any((each.asked.tool, each.asked.key) == place for each in self.under_way)

    def undo(self, ctx: Context, tool: str) -> None:
        """Take an effect back; the other side takes the same undoing twice as one."""
        asked = Asked(
            f"undo {tool}", "idempotent", ctx.idempotency_key, ctx.run.run_id, ctx.step_index, ctx.attempt, {}
        )
        self.calls.append(asked)
        if self.manner in {Manner.REFUSED, Manner.BUSY}:
            raise ToolError("not now", kind="transient", happened=False)
        assert ctx.subject_key is not None
        doers = self.undone[tool, ctx.subject_key]
        if ctx.idempotency_key not in doers:
            doers.append(ctx.idempotency_key)

    def pass_time(self, seconds: float) -> None:
        """Let what must have arrived by then arrive."""
        self.now += seconds
        for each in [each for each in self.under_way if each.until <= self.now]:
            self.arrive(each)

    def arrive(self, request: UnderWay) -> None:
        """Let a request arrive that nobody waits for any more."""
        self.under_way.remove(request)
        self._land(request.asked)

    def _land(self, asked: Asked) -> None:
        if asked.effect == "read":
            return
        landed = self.landed[asked.tool, asked.key]
        if asked.effect == "keyed" and landed:
            return  # the other side honours the key
        landed.append(asked)
