"""A patch: what is taken out of one file, and what stands there instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Patch:
    """One place of one file, by the text that stands there exactly once."""

    path: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Change the file; raise ValueError where the text is not there, or more than once."""
        file = tree / self.path
        text = file.read_text(encoding="utf-8")
        if (times := text.count(self.old)) != 1:
            raise ValueError(f"{self.path} has {self.old!r} {times} times; a patch names a place that is there once")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


def patches_of(path: str, *pairs: tuple[str, str]) -> tuple[Patch, ...]:
    """Return the patches of one file, each by what stands there and what shall."""
    return tuple(Patch(path, old, new) for old, new in pairs)
