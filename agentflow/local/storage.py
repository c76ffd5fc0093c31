"""Owns what this package does with its private files: replace them whole, read them, shorten and remove them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Replace the file at once; nobody else reads it, and nobody reads half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if the file is missing or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_lines(path: Path) -> list[str]:
    """Read a server's file; no lines if it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def remove_tree(path: Path) -> None:
    """Remove a directory with all in it, if it is there. The standard library's carries archivers along."""
    for parent, folders, files in os.walk(path, topdown=False):
        for name in files:
            Path(parent, name).unlink()
        for name in folders:
            Path(parent, name).rmdir()
    if path.exists():
        path.rmdir()


def shorten(path: Path, most_bytes: int) -> None:
    """Empty a log that others append to once it is too long; its last tenth is kept as `<name>.old`."""
    if path.exists() and path.stat().st_size > most_bytes:
        with path.open("rb") as file:
            file.seek(-most_bytes // 10, os.SEEK_END)
            write_private(path.with_name(f"{path.name}.old"), file.read().decode(errors="replace"))
        os.truncate(path, 0)
