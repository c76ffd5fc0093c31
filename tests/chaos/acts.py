"""Owns how the processes of the fleet are broken, and how each fault is taken back."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from tests.chaos.fleet import BEAT, PREFORK, RELAY, TOOL_WORKERS, WORKERS, send
from tests.chaos.plan import Act
from tests.chaos.scene import Begun, NothingToBreak, Scene, chosen

_HOLDING = """
    select w.pid, count(*) as held from agentflow.agent_steps s join agentflow.workers w using (worker_id)
    where s.status = 'running' and w.pid = any(:pids) group by w.pid
"""
_BUSY = """
    select worker_pid from agentflow.agent_steps where status = 'running' and worker_pid = any(:pids)
    union select worker_pid from agentflow.outbox where status in ('claimed', 'sending') and worker_pid = any(:pids)
"""


def kill_worker(scene: Scene, act: Act) -> Begun:
    return _kill(scene, scene.choose(act, TOOL_WORKERS))


def kill_busy_worker(scene: Scene, act: Act) -> Begun:
    """Kill the worker that is in the middle of most steps."""
    seats = {scene.stack.fleet.pid(seat): seat for seat in WORKERS if seat not in scene.broken}
    held = {row["pid"]: row["held"] for row in scene.stack.truth.rows(_HOLDING, pids=list(seats))}
    if not held:
        raise NothingToBreak
    return _kill(scene, seats[max(held, key=lambda pid: held[pid])])


def kill_relay(scene: Scene, act: Act) -> Begun:
    return _kill(scene, scene.take(RELAY))


def kill_beat(scene: Scene, act: Act) -> Begun:
    return _kill(scene, scene.take(BEAT))


def kill_child(scene: Scene, act: Act) -> Begun:
    return _kill_child(scene, act, scene.choose(act, _with_children(scene)))


def kill_relay_child(scene: Scene, act: Act) -> Begun:
    return _kill_child(scene, act, scene.take(RELAY))


def freeze_worker(scene: Scene, act: Act) -> Begun:
    return _freeze_all(scene, scene.choose(act, TOOL_WORKERS))


def freeze_relay(scene: Scene, act: Act) -> Begun:
    return _freeze_all(scene, scene.take(RELAY))


def freeze_main(scene: Scene, act: Act) -> Begun:
    seat = scene.choose(act, TOOL_WORKERS)
    return _freeze(seat, [scene.stack.fleet.pid(seat)])


def freeze_child(scene: Scene, act: Act) -> Begun:
    seat = scene.choose(act, _with_children(scene))
    return _freeze(seat, [_child(scene, act, seat)])


def freeze_relay_child(scene: Scene, act: Act) -> Begun:
    return _freeze(scene.take(RELAY), [_child(scene, act, RELAY)])


def deploy(scene: Scene, act: Act) -> Begun:
    """Start another worker in a seat, and ask the one that sits there to end a while later."""
    seat = scene.choose(act, WORKERS)
    pid = scene.stack.fleet.replace(seat)
    return Begun(f"{seat}/{pid}", lambda: send(pid, signal.SIGTERM))


def _kill(scene: Scene, seat: str) -> Begun:
    fleet = scene.stack.fleet
    pid = fleet.pid(seat)
    fleet.kill(seat)
    return Begun(f"{seat}/{pid}", lambda: fleet.seat(seat))


def _kill_child(scene: Scene, act: Act, seat: str) -> Begun:
    pid = _child(scene, act, seat)
    if not send(pid, signal.SIGKILL):
        raise NothingToBreak
    return Begun(f"{seat}/{pid}")


def _freeze_all(scene: Scene, seat: str) -> Begun:
    fleet = scene.stack.fleet
    return _freeze(seat, [fleet.pid(seat), *fleet.children(seat)])


def _with_children(scene: Scene) -> list[str]:
    return [seat for seat in PREFORK if scene.stack.fleet.children(seat)]


def _child(scene: Scene, act: Act, seat: str) -> int:
    """Return one of a seat's pool processes, one in the middle of a step where there is such a one."""
    children = scene.stack.fleet.children(seat)
    busy = {row["worker_pid"] for row in scene.stack.truth.rows(_BUSY, pids=children)}
    return chosen(act, [pid for pid in children if pid in busy] or children)


def _freeze(seat: str, pids: Sequence[int]) -> Begun:
    frozen = [pid for pid in pids if send(pid, signal.SIGSTOP)]
    if not frozen:
        raise NothingToBreak
    return Begun(f"{seat}/{frozen[0]}", lambda: [send(pid, signal.SIGCONT) for pid in frozen])
