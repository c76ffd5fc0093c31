"""Owns the model's provider, `python -m examples.refunds.provider`: the script over OpenAI's protocol, at a busy hour.

`--overloaded bruno@example.com=1` turns that customer's first request away with 529, and writes that down first.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agentflow.domain.errors import ModelError
from agentflow.llm.protocol import ModelClient, ModelRequest, ModelResponse
from agentflow.llm.script_file import read_scripts
from agentflow.llm.server import ModelServer
from examples.refunds.journal import Journal, now_text, read_lines

OVERLOADED = 529


@dataclass(frozen=True, slots=True)
class Overload:
    """One request that was turned away with 529."""

    user: str
    at: str


class BusyModel:
    """Turns away as many of a customer's first requests as `refusals` says; asks its model about all others."""

    def __init__(self, model: ModelClient, journal: Journal, refusals: Mapping[str, int]) -> None:
        self._model = model
        self._journal = journal
        self._left = dict(refusals)
        self._lock = threading.Lock()

    def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer, or raise the ModelError that is sent as 529."""
        user = request.user or ""
        with self._lock:
            left = self._left.get(user, 0)
            if left:
                self._left[user] = left - 1
                self._journal.append(asdict(Overload(user, now_text())))
        if left:
            raise ModelError("Overloaded: please try again later.", kind="transient", status=OVERLOADED)
        return self._model.complete(request)


def read_overloads(path: Path) -> list[Overload]:
    """Return whom the provider turned away."""
    return [Overload(**line) for line in read_lines(path)]


def read_refusals(pairs: list[str]) -> dict[str, int]:
    """Return how many requests are turned away, by customer."""
    return {user: int(times) for user, _, times in (pair.partition("=") for pair in pairs)}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m examples.refunds.provider", description="A busy model.")
    parser.add_argument("--script", type=Path, required=True, metavar="F.json", help="scripts, one per customer")
    parser.add_argument("--log", type=Path, required=True, metavar="F.jsonl", help="whom it turned away")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long each answer takes")
    parser.add_argument("--overloaded", action="append", default=[], metavar="USER=TIMES", help="whom it turns away")
    chosen = parser.parse_args()
    with Journal(chosen.log) as journal:
        model = BusyModel(read_scripts(chosen.script), journal, read_refusals(chosen.overloaded))
        server = ModelServer(model, latency_s=chosen.latency_ms / 1000)
        print(server.base_url, flush=True)
        server.serve()


if __name__ == "__main__":
    main()
