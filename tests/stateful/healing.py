"""The end of an example: every fault is over, everything is delivered, and each run has to come to its end."""

from __future__ import annotations

from collections.abc import Sequence

from tests.stateful.fleet import Fleet
from tests.stateful.outside import Manner
from tests.stateful.people import People
from tests.stateful.picture import FINAL, Picture, Row

_ROUND_S = 8.0
_MOST_ROUNDS = 60
_MOST_HINTS = 500


def heal(fleet: Fleet, people: People) -> None:
    """End all faults, and move everything until nothing is left but people's work."""
    fleet.world.manner, fleet.world.knows = Manner.ANSWERED, True
    for request in list(fleet.world.under_way):
        fleet.world.arrive(request)
    for attempt in fleet.held:
        attempt.go_on()
    for run in fleet.sql("select run_id::text from agentflow.agent_runs where pause_requested"):
        people.act("resume", run["run_id"])
    for _ in range(_MOST_ROUNDS):
        _deliver_all(fleet)
        if _is_at_rest(fleet):
            return
        fleet.pass_time(_ROUND_S)
        fleet.boots[0].sweeper.sweep()
    raise AssertionError(f"nothing is wrong any more, and after {_MOST_ROUNDS * _ROUND_S} s: {_restless(fleet)}")


def stuck(picture: Picture) -> list[str]:
    """Return the runs that are neither over nor wait for a person for a reason that is there."""
    asked = {(each["run_id"], each["step_index"]) for each in picture.approvals if each["status"] == "pending"}
    return [
        f"run {run['run_id']} ({run['agent']}) is {run['status']}, for {run['waiting_reason']}"
        for run in picture.runs
        if run["status"] not in FINAL
        and not _waits_for_person(run, picture.steps_of()[run["run_id"]], asked)
        and not _waits_for_turn(run, picture.runs)
        and not _waits_for_key(picture.steps_of()[run["run_id"]], picture)
    ]


def _waits_for_person(run: Row, steps: Sequence[Row], asked: set[tuple[str, int]]) -> bool:
    if run["status"] != "waiting_human":
        return False
    if run["waiting_reason"] == "in_doubt":
        return any(step["status"] == "in_doubt" and step["waiting_reason"] == "in_doubt" for step in steps)
    return any((step["run_id"], step["step_index"]) in asked for step in steps if step["status"] == "pending")


def _waits_for_turn(run: Row, runs: Sequence[Row]) -> bool:
    """A run may wait for an earlier one of its conversation that waits for a person."""
    same = [each for each in runs if each["conversation_id"] and each["conversation_id"] == run["conversation_id"]]
    return any(each["status"] not in FINAL for each in same[: same.index(run)] if each is not run) if same else False


def _waits_for_key(steps: Sequence[Row], picture: Picture) -> bool:
    """A call may wait for a key of which only a person can say what became of it."""
    asking = {run["run_id"] for run in picture.runs if run["status"] == "waiting_human"}
    told = {
        (each["tool"], each["key"]) for each in picture.keys if each["status"] == "in_doubt" or each["run_id"] in asking
    }
    waiting = [step for step in steps if step["status"] == "pending" and step["waiting_reason"] == "key_in_flight"]
    return any((step["tool_name"], step["idempotency_key"]) in told for step in waiting)


def _deliver_all(fleet: Fleet) -> None:
    for _ in range(_MOST_HINTS):
        if not fleet.post.hints:
            return
        fleet.deliver(fleet.post.hints.pop(0), fleet.boots[0])
    raise AssertionError(f"{_MOST_HINTS} hints were delivered, and there are more: {fleet.post.hints[:3]}")


def _is_at_rest(fleet: Fleet) -> bool:
    return not stuck(Picture.take(fleet.database, 0)) and not fleet.sql(_MOVING)


# What passes by itself: a call, a pause before the next one, a decision.
_MOVING = """
    select 1 from agentflow.agent_steps where status = 'running'
        or (status = 'pending' and person is null and waiting_reason is distinct from 'key_in_flight')
    union all
    select 1 from agentflow.agent_runs where advance_due_at is not null and finished_at is null
    limit 1
"""


def _restless(fleet: Fleet) -> str:
    open_steps = fleet.sql("""
        select s.run_id::text, s.step_index, s.tool_name, s.status, s.waiting_reason, s.next_attempt_at, s.hinted_at,
            s.attempt, s.quarantined, r.status as run, r.advance_due_at, r.stop_requested
        from agentflow.agent_runs r left join agentflow.agent_steps s
            on s.run_id = r.run_id and s.status in ('pending', 'running', 'in_doubt')
        where r.finished_at is null
    """)
    return f"{stuck(Picture.take(fleet.database, 0))}; {[dict(each) for each in open_steps]}"
