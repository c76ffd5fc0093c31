"""What is right and wrong about a case: its doubts, and what the checker finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, text

from tests.checker.check import check
from tests.checker.evidence import Evidence, Fault
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.stage import Stage
from tests.crashpoints.victims import Played

_DOUBTS = """
    select r.run_id::text as run_id, r.input_payload::text as input,
        (select count(*) from agentflow.agent_steps s where s.run_id = r.run_id and s.status = 'in_doubt')
        + (select count(*) from agentflow.outbox o where o.run_id = r.run_id and o.status = 'in_doubt') as doubts
    from agentflow.agent_runs r
"""


def may_doubt(scenario: str, labels: Sequence[str]) -> range:
    """Return the points from which nobody can tell whether the call was made.

    From the claim's commit to the record's; of a letter, from the statement that hands the first over to that which
    records the last. Numbers begin with 1, as a case's point does.
    """
    kind = SCENARIOS[scenario].doubt
    if not kind:
        return range(0)
    if kind == "letter":
        after, before = _places(labels, "after hand_over"), _places(labels, "before hand_over")
        return range(after[0], before[-1] + 1)
    commits = _places(labels, "after commit")
    claimed, recorded = (commits[number - 1] for number in SCENARIOS[scenario].commits)
    return range(claimed, recorded)


def judge(stage: Stage, played: Sequence[Played], points: Mapping[str, Sequence[str]], arrivals: Sequence[Any]) -> None:
    """Write down at each case what is wrong with it."""
    rows = _rows(stage.engine)
    for each in played:
        own = [row for row in rows if each.item in row["input"]]
        _judge_doubts(each, sum(row["doubts"] for row in own), points[each.case.scenario])
    for violation in check(_evidence(stage, played, arrivals)):
        told = f"group {violation.group}: {violation.subject}: {violation.what}"
        owners = [each for each in played if _concerns(each, told, rows)]
        for each in owners or played:
            each.wrong.append(told)


def _judge_doubts(played: Played, found: int, labels: Sequence[str]) -> None:
    played.doubts = found
    if played.missed:
        return
    expected = int(played.case.point in may_doubt(played.case.scenario, labels))
    if found != expected:
        played.wrong.append(f"{found} doubts, and {expected} expected from this point")


def _concerns(played: Played, told: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    own = [row["run_id"] for row in rows if played.item in row["input"]]
    return played.item in told or any(run_id in told for run_id in own)


def _rows(engine: Engine) -> list[Mapping[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(_DOUBTS)).mappings()]


def _evidence(stage: Stage, played: Sequence[Played], arrivals: Sequence[Any]) -> Evidence:
    faults = [Fault(f"{each.case.how}_child", each.item, each.struck_at, each.ended_at) for each in played]
    lost = [each for each in played if SCENARIOS[each.case.scenario].loses_answer]
    # A kind with `child` explains one doubt.
    faults += [Fault("answer_lost_to_child", each.item, each.began_at, each.struck_at) for each in lost]
    return Evidence(
        database_url=stage.database_url,
        arrivals=arrivals,
        accepted=sorted({run_id for each in played for run_id in each.accepted}),
        redis_url=stage.redis_url,
        faults=faults,
        queues=stage.worker.queues,
    )


def _places(labels: Sequence[str], wanted: str) -> list[int]:
    return [place for place, label in enumerate(labels, start=1) if label == wanted]
