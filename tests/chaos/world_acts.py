"""Owns how the outside world is broken: a little of everything at every door, or one thing often."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.plan import Act
from tests.chaos.scene import Begun, Scene, chosen
from tests.world.moods import AFTER, BEFORE, LATE, LETTERS, REFUSALS, SLIPS, Moods

WORLD = "world"

_SELDOM = 0.02
_LITTLE: Moods = {
    "*": dict.fromkeys((*BEFORE, *AFTER, LATE, *SLIPS), _SELDOM),
    "mail": dict.fromkeys(LETTERS, _SELDOM),
}
_BADLY: Sequence[Moods] = (
    {"*": dict.fromkeys(REFUSALS, 0.12)},
    {"*": {"500_before": 0.3, "500_after": 0.3}},
    {"*": {"hang_before": 0.2, "hang_after": 0.2}},
    {"*": {"cut_before": 0.2, "cut_after": 0.3, LATE: 0.1}},
    {"*": {"malformed": 0.2, "garbage": 0.1, "truncated": 0.2}},
)


def misbehave(scene: Scene, act: Act) -> Begun:
    return _misbehave(scene, _LITTLE)


def misbehave_badly(scene: Scene, act: Act) -> Begun:
    return _misbehave(scene, chosen(act, _BADLY))


def _misbehave(scene: Scene, moods: Moods) -> Begun:
    scene.take(WORLD)
    scene.stack.world.misbehave(moods)
    return Begun(WORLD, scene.stack.world.heal)
