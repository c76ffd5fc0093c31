"""Owns the peers' environments: a virtualenv each, made on first use with what its files in pins/ name."""

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
    folder, wanted = home / name, "".join(pins.read_text(encoding="utf-8") for pins in _pins(name))
    python, stamp = folder / "bin" / "python", folder / _STAMP
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make(folder, python, *_pins(name))
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _pins(name: str) -> list[Path]:
    return [_PINS / f"{name}.txt", *_PINS.glob(f"{name}.npm")]


def _make(folder: Path, python: Path, packages: Path, *of_npm: Path) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    # From outside: some systems ship venv without what would put a pip into it.
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet")
    _run(*pip, "--no-deps", "-r", str(packages))
    for pins in of_npm:
        # Scripts of packages may report home.
        npm = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))
        _run(*npm, *pins.read_text(encoding="utf-8").split())


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_INSTALL_S)
    except FileNotFoundError:
        raise Skipped(f"there is no {command[0]!r} here to install its packages with") from None
    except subprocess.TimeoutExpired:
        raise Skipped(f"its packages did not install within {_INSTALL_S:g} s") from None
    if done.returncode:
        raise Skipped(
            f"its packages can't be installed here: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
        )
