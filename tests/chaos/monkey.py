"""Owns the monkey: it carries out the plan, takes back what is over, and writes both into the diary."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from tests.chaos import acts, server_acts, world_acts
from tests.chaos.plan import KILL_ALONE, RECOVERS_S, SETTLES_S, Act
from tests.chaos.scene import Begun, NothingToBreak, Scene
from tests.chaos.stack import Stack

ACTS: Mapping[str, Callable[[Scene, Act], Begun]] = {
    "kill_worker": acts.kill_worker,
    "kill_busy_worker": acts.kill_busy_worker,
    "kill_child": acts.kill_child,
    "kill_relay": acts.kill_relay,
    "kill_relay_child": acts.kill_relay_child,
    "kill_beat": acts.kill_beat,
    "freeze_worker": acts.freeze_worker,
    "freeze_main": acts.freeze_main,
    "freeze_child": acts.freeze_child,
    "freeze_relay": acts.freeze_relay,
    "freeze_relay_child": acts.freeze_relay_child,
    "deploy": acts.deploy,
    "restart_postgres": server_acts.restart_postgres,
    "terminate_connections": server_acts.terminate_connections,
    "flush_redis": server_acts.flush_redis,
    "kill_redis": server_acts.kill_redis,
    "freeze_redis": server_acts.freeze_redis,
    "double_messages": server_acts.double_messages,
    "steal_messages": server_acts.steal_messages,
    **server_acts.on_each_door(server_acts.cut, "cut"),
    **server_acts.on_each_door(server_acts.delay, "delay"),
    **server_acts.on_each_door(server_acts.hold, "hold"),
    **server_acts.on_each_door(server_acts.refuse, "refuse"),
    "misbehave": world_acts.misbehave,
    "misbehave_badly": world_acts.misbehave_badly,
}

_TICK_S = 0.05
_AGAIN_S = 0.5
_WATCHES_S = 5.0
# A server that is only just back answers with an error: what was to be broken in it is not there yet.
_NOT_NOW = (NothingToBreak, RedisError, DBAPIError, OSError)


@dataclass(frozen=True, slots=True)
class OpenFault:
    """A fault that has to be taken back."""

    kind: str
    begun: Begun
    began_at: float
    until_s: float


class Monkey:
    """Works in the caller's thread, its clock starting with `rage`."""

    def __init__(self, stack: Stack, plan: Sequence[Act]) -> None:
        self._stack = stack
        self._scene = Scene(stack)
        self._plan = deque(plan)
        self._postponed: deque[Act] = deque()
        self._open: list[OpenFault] = []
        self._again_at_s = 0.0
        self._calm_until_s = 0.0
        self._pause = threading.Event()

    def rage(self, duration_s: float) -> None:
        """Carry out the plan for so many seconds."""
        began = time.monotonic()
        while (now_s := time.monotonic() - began) < duration_s:
            self._take_back(lambda fault, now_s=now_s: fault.until_s <= now_s)
            due = self._plan if self._plan and self._plan[0].at_s <= now_s else self._postponed
            if due is self._plan or (due and now_s >= self._again_at_s and not self._is_calm(now_s)):
                self._try(due.popleft(), now_s)
            self._pause.wait(_TICK_S)

    def heal(self) -> Sequence[str]:
        """Take everything back, and return the kinds that could never be carried out."""
        self._take_back(lambda fault: True)
        return [act.kind for act in self._postponed]

    def _is_calm(self, now_s: float) -> bool:
        """True where nothing may go wrong but the death of one worker."""
        comes = self._plan[0] if self._plan else None
        return now_s < self._calm_until_s or (
            comes is not None and comes.kind == KILL_ALONE and comes.at_s - now_s < SETTLES_S
        )

    def _try(self, act: Act, now_s: float) -> None:
        self._again_at_s = now_s + _AGAIN_S
        began_at = time.time()
        try:
            begun = ACTS[act.kind](self._scene, act)
        except _NOT_NOW:
            self._postpone(act, now_s)
            return
        if act.kind == KILL_ALONE:
            self._calm_until_s = now_s + RECOVERS_S
        if begun.take_back is None:
            self._stack.diary.note(act.kind, begun.target, began_at)
            return
        self._scene.broken.add(_whole(begun))
        self._open.append(OpenFault(act.kind, begun, began_at, now_s + act.lasts_s))

    def _postpone(self, act: Act, now_s: float) -> None:
        """Try it again soon; what needs a busy worker at the next tick, for a while."""
        if act.kind == KILL_ALONE and now_s < act.at_s + _WATCHES_S:
            self._plan.appendleft(act)
        else:
            self._postponed.append(act)

    def _take_back(self, is_over: Callable[[OpenFault], bool]) -> None:
        for fault in [each for each in self._open if is_over(each)]:
            self._open.remove(fault)
            assert fault.begun.take_back is not None
            fault.begun.take_back()
            self._scene.broken.discard(_whole(fault.begun))
            self._stack.diary.note(fault.kind, fault.begun.target, fault.began_at)


def _whole(begun: Begun) -> str:
    return begun.target.partition("/")[0]
