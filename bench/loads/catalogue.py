"""Owns the list of these loads, by the names that `python -m bench` knows them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Figure
from bench.loads import backlog, fanout, llm, parked, prompts, submissions

LOADS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "llm": llm.measure,
    "fanout": fanout.measure,
    "parked": parked.measure,
    "prompts": prompts.measure,
    "submissions": submissions.measure,
    "backlog": backlog.measure,
}
