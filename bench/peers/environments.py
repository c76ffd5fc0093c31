"""Owns the peers' environments: a virtualenv each, made on first use with the packages that its file in pins/ names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.figures import Skipped

_PINS = Path(__file__).with_name("pins")
_STAMP = "installed"
_INSTALL_S = 600.0


def pinned(name: str) -> dict[str, str]:
    """Return the versions that an environment has, by package."""
    lines = (_PINS / f"{name}.txt").read_text(encoding="utf-8").split()
    return dict(line.split("==", 1) for line in lines)


def interpreter(home: Path, name: str) -> Path:
    """Return the environment's Python, making the environment where it is missing or of other packages."""
    folder, wanted = home / name, (_PINS / f"{name}.txt").read_text(encoding="utf-8")
    python, stamp = folder / "bin" / "python", folder / _STAMP
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run("-m", "venv", "--without-pip", str(folder))
        # From outside: some systems ship venv without what would put a pip into it.
        _run("-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "-r", str(_PINS / f"{name}.txt"))
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run(
            [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise Skipped(f"its packages did not install within {_INSTALL_S:g} s") from None
    if done.returncode:
        raise Skipped(
            f"its packages can't be installed here: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
        )
