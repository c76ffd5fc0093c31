"""Each guard can be taken out of today's tree and leaves a program; the tests that have to notice exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.guards import GUARDS, Guard
from tests.mutants.patch import Patch
from tests.mutants.tree import REPOSITORY

_each_guard = pytest.mark.parametrize("guard", GUARDS, ids=[guard.name for guard in GUARDS])


def copied(guard: Guard, folder: Path) -> Path:
    for name in {patch.path for patch in guard.patches}:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((REPOSITORY / name).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@_each_guard
def test_a_guard_can_be_taken_out_and_what_is_left_compiles(guard: Guard, tmp_path: Path) -> None:
    tree = copied(guard, tmp_path)

    for patch in guard.patches:
        patch.apply(tree)

    for name in {patch.path for patch in guard.patches}:
        text = (tree / name).read_text(encoding="utf-8")
        assert text != (REPOSITORY / name).read_text(encoding="utf-8")
        if name.endswith(".py"):
            compile(text, name, "exec")


@_each_guard
def test_the_tests_that_must_notice_exist(guard: Guard) -> None:
    assert guard.tests
    for arguments in guard.tests:
        assert (REPOSITORY / arguments.split()[0].partition("::")[0]).exists()


@pytest.mark.parametrize("text", ["", "guard guard"], ids=["gone", "twice"])
def test_a_patch_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match="a place that is there once"):
        Patch("module.py", "guard", "hole").apply(tmp_path)
