"""Shows who decides about the outside world's faults: the seed, and what it is told."""

from __future__ import annotations

import pytest

from tests.world.moods import LATE, Dice
from tests.world.process import World


def test_a_seed_decides_about_the_faults() -> None:
    def thrown(seed: int) -> list[str | None]:
        dice = Dice(seed)
        dice.misbehave({"keyed": {"cut_after": 0.3, "503": 0.3}})
        return [dice.throw("keyed")[0] for _ in range(50)]

    assert thrown(1) == thrown(1)
    assert thrown(1) != thrown(2)
    assert set(thrown(1)) == {"cut_after", "503", None}


def test_a_fault_for_everywhere_comes_to_the_doors_that_can_have_it() -> None:
    dice = Dice(1)
    dice.misbehave({"*": {LATE: 1.0}})
    assert [dice.throw(door)[0] for door in ("keyed", "idempotent", "model")] == [LATE, None, None]


@pytest.mark.parametrize(
    "moods",
    [{"kitchen": {"503": 0.1}}, {"idempotent": {LATE: 0.1}}, {"*": {"flood": 0.1}}, {"keyed": {"503": 1.1}}],
    ids=["no such door", "not of this door", "no such fault", "no share"],
)
def test_what_the_world_cannot_do_wrong_is_refused(world: World, moods: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match=r"has no|a share"):
        world.misbehave(moods)
