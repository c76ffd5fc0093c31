"""The command: `python -m tests.chaos --seed N --duration S [--folder F]`. It exits 1 where a promise was broken."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.driver import run_chaos
from tests.chaos.report import show

_QUARTER_OF_AN_HOUR_S = 900.0


def main() -> int:
    """Run a chaos, show what it came to, and keep its folder where something is wrong."""
    chosen = _parser().parse_args()
    print(f"seed {chosen.seed}", flush=True)
    # Whoever ends this by a signal ends everything that was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="agentflow-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    keeps = True
    try:
        outcome = run_chaos(chosen.seed, chosen.duration, folder)
        outcome.write(folder / "outcome.json")
        show(Console(width=160), outcome)
        keeps = not outcome.is_good or chosen.folder is not None
    finally:
        if keeps:
            print(f"the evidence is in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if outcome.is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break everything, heal it, judge it.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31), help="what is drawn from")
    parser.add_argument("--duration", type=float, default=_QUARTER_OF_AN_HOUR_S, help="seconds of faults")
    parser.add_argument("--folder", type=Path, help="where the evidence is kept; a temporary one if not given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
