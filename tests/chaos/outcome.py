"""Owns what a chaos came to: the counts behind the table, and whether it is as it must be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.feed import Order
from tests.chaos.healing import GOAL_S as HEALED_S
from tests.chaos.healing import Rest
from tests.chaos.recovery import Wait
from tests.checker.evidence import Fault, Violation

_RUNS = "select run_id::text, agent, status, waiting_reason from agentflow.agent_runs"
_FIGURES = """
    select count(*) as attempts, count(*) filter (where status = 'lost') as "attempts lost with their worker",
        count(*) filter (where late_result is not null) as "answers that came too late",
        count(*) filter (where status = 'in_doubt') as "attempts in doubt",
        (select count(*) from agentflow.agent_steps where status = 'in_doubt') as "steps in doubt at the end",
        (select count(*) from agentflow.outbox where status = 'in_doubt') as "messages in doubt at the end",
        (select count(*) from agentflow.agent_steps where error::jsonb ->> 'kind' = 'poison') as "steps poisoned"
    from agentflow.attempts
"""

_ENDED = """
    select run_id::text, status, outcome, compensation from agentflow.agent_runs r
    where finished_at is not null and not exists (
        select from agentflow.interventions i where i.run_id = r.run_id and i.act like 'resolved%'
    )
    order by run_id
"""

Rows = Callable[..., Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that is shown.

    `never` are the kinds of faults that could not be done. `surprises` are runs that ended otherwise than they would
    without faults: each is worth a look, none is a broken promise.
    """

    seed: int
    duration_s: float
    folder: str
    runs: Mapping[str, Mapping[str, int]]
    figures: Mapping[str, int]
    faults: Mapping[str, int]
    never: Sequence[str]
    surprises: Sequence[str]
    waits: Sequence[Wait]
    rest: Rest
    differences: Sequence[str] | None
    violations: Sequence[Violation]

    @property
    def is_good(self) -> bool:
        """True where every promise held."""
        broken = [*self.violations, *(self.differences or ()), *self.rest.moving]
        return not broken and self.rest.seconds <= HEALED_S

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({**asdict(self), "is_good": self.is_good}, indent=1), encoding="utf-8")


def count_runs(rows: Rows, orders: Mapping[str, Order]) -> dict[str, dict[str, int]]:
    """Return how many runs of each kind stand where; a run that nobody submitted here goes by its agent."""
    counted: dict[str, Counter[str]] = {}
    for row in rows(_RUNS):
        status = row["waiting_reason"] if row["status"] == "waiting_human" else row["status"]
        kind = orders[row["run_id"]].kind if row["run_id"] in orders else row["agent"]
        counted.setdefault(kind, Counter())[status] += 1
    return {kind: dict(found) for kind, found in sorted(counted.items())}


def count_figures(rows: Rows) -> dict[str, int]:
    """Return what became of the steps."""
    [found] = rows(_FIGURES)
    return dict(found)


def find_surprises(rows: Rows, orders: Mapping[str, Order]) -> list[str]:
    """Return what is odd about runs that ended by themselves, nobody having decided about their doubts."""
    return [
        f"run {row['run_id']}: {objection}"
        for row in rows(_ENDED)
        if row["run_id"] in orders
        for objection in orders[row["run_id"]].objections(row["status"], row["outcome"], row["compensation"])
    ]


def count_faults(faults: Sequence[Fault]) -> dict[str, int]:
    """Return how many faults there were of each kind."""
    return dict(sorted(Counter(fault.kind for fault in faults).items()))
