"""Owns how the servers, the way to them, the messages and the outside world are broken, and how that is taken back."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from functools import partial

import redis

from tests.chaos.plan import Act
from tests.chaos.scene import Begun, NothingToBreak, Scene
from tests.integration.workers.waiting import until

POSTGRES, REDIS, WORLD = "postgres", "redis", "world"

_CONNECTED = "select pid from pg_stat_activity where application_name like 'agentflow%' order by pid"
_TERMINATE = "select pg_terminate_backend(pid) from unnest(cast(:pids as int[])) as pid"
_TERMINATED_SHARE = 0.4
_DELAY_S = 0.05, 0.4
_MOST_STOLEN, _STEALS_S = 5, 2.0


def restart_postgres(scene: Scene, act: Act) -> Begun:
    scene.take(POSTGRES)
    scene.stack.servers.stop_postgres(signal.SIGQUIT)
    return Begun(POSTGRES)


def terminate_connections(scene: Scene, act: Act) -> Begun:
    scene.take(POSTGRES)
    pids = [row["pid"] for row in scene.stack.truth.rows(_CONNECTED)]
    doomed = random.Random(act.pick).sample(pids, round(len(pids) * _TERMINATED_SHARE))
    if not doomed:
        raise NothingToBreak
    scene.stack.truth.rows(_TERMINATE, pids=doomed)
    return Begun(POSTGRES)


def flush_redis(scene: Scene, act: Act) -> Begun:
    scene.take(REDIS)
    scene.stack.servers.flush_redis()
    return Begun(REDIS)


def kill_redis(scene: Scene, act: Act) -> Begun:
    scene.take(REDIS)
    scene.stack.servers.crash_redis()
    until(scene.stack.servers.redis_answers, "the next Valkey")
    return Begun(REDIS)


def freeze_redis(scene: Scene, act: Act) -> Begun:
    scene.take(REDIS)
    scene.stack.signal_redis(signal.SIGSTOP)
    return Begun(REDIS, lambda: scene.stack.signal_redis(signal.SIGCONT))


def cut(door: str, scene: Scene, act: Act) -> Begun:
    scene.stack.doors.cut(scene.take(door))
    return Begun(door)


def delay(door: str, scene: Scene, act: Act) -> Begun:
    shortest_s, longest_s = _DELAY_S
    scene.stack.doors.delay(scene.take(door), shortest_s + act.pick * (longest_s - shortest_s))
    return Begun(door, lambda: scene.stack.doors.open(door))


def hold(door: str, scene: Scene, act: Act) -> Begun:
    scene.stack.doors.hold(scene.take(door))
    return Begun(door, lambda: scene.stack.doors.open(door))


def refuse(door: str, scene: Scene, act: Act) -> Begun:
    scene.stack.doors.refuse(scene.take(door))
    return Begun(door, lambda: scene.stack.doors.open(door))


def double_messages(scene: Scene, act: Act) -> Begun:
    """Send every hint again that was not sent again before, in no order."""
    scene.take(REDIS)
    before = scene.stack.doubler.doubled
    scene.stack.doubler.disturb_once()
    if scene.stack.doubler.doubled == before:
        raise NothingToBreak
    return Begun(REDIS)


def steal_messages(scene: Scene, act: Act) -> Begun:
    """Take messages out of the queues in the workers' place: who has waited longest is served first."""
    scene.take(REDIS)
    stolen, end = 0, time.monotonic() + _STEALS_S
    with redis.Redis.from_url(scene.stack.servers.redis_url) as thief:
        while stolen < _MOST_STOLEN and time.monotonic() < end:
            stolen += thief.brpop(scene.stack.queues(), timeout=0.5) is not None
    if not stolen:
        raise NothingToBreak
    return Begun(REDIS)


def on_each_door(act: Callable[[str, Scene, Act], Begun], word: str) -> dict[str, Callable[[Scene, Act], Begun]]:
    """Return the act for each of the two doors, by its kind."""
    return {f"{word}_{door}": partial(act, door) for door in (POSTGRES, REDIS)}
