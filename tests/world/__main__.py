"""Runs the outside world: `python -m tests.world --folder F [--seed N]`, until its standard input ends.

It prints one line of JSON, with its addresses, and then one for each command that it reads: `{"misbehave": {...}}` or
`{"heal": true}`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from tests.world.books import Books
from tests.world.mail import AUTHORITY, Mail
from tests.world.moods import Dice
from tests.world.process import PASSWORD
from tests.world.web import Web


def main() -> None:
    """Serve until the parent is gone."""
    chosen = _parser().parse_args()
    books, dice = Books(chosen.folder), Dice(chosen.seed)
    web = Web(books, dice)
    mail = Mail(chosen.folder, books, dice, os.environ.get(PASSWORD) or None)
    threading.Thread(target=web.serve_forever, name="web", daemon=True).start()
    _say({"url": web.url, "smtp_port": mail.port, "authority": str(chosen.folder / AUTHORITY)})
    for line in sys.stdin:
        _obey(dice, json.loads(line))
    # Whoever hangs, hangs no longer: there is nobody to answer to.
    os._exit(0)


def _obey(dice: Dice, command: dict[str, dict[str, dict[str, float]]]) -> None:
    if "misbehave" in command:
        dice.misbehave(command["misbehave"])
    else:
        dice.heal()
    _say(command)


def _say(fact: object) -> None:
    print(json.dumps(fact), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.world", description="Be the outside world.")
    parser.add_argument("--folder", type=Path, required=True, help="where arrivals are written")
    parser.add_argument("--seed", type=int, default=0, help="what decides about faults")
    return parser


if __name__ == "__main__":
    main()
