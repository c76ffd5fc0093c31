"""A copy of the tree to take guards out of: what git knows, and what it would take."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.patch import Patch

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def patched_tree(patches: Iterable[Patch] = ()) -> Iterator[Path]:
    """A copy with the patches in it, beside a link to what stands beside the repository, until the end of the block."""
    with TemporaryDirectory(prefix="agentflow-mutant-") as folder:
        tree = Path(folder) / REPOSITORY.name
        for name in _files():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target)
        if (shared := REPOSITORY.parent / "shared").exists():
            (Path(folder) / "shared").symlink_to(shared)
        for patch in patches:
            patch.apply(tree)
        yield tree


def _files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]
