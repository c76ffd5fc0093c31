"""What must hold of runs, their steps and their budgets, whatever has happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.stateful.picture import FINAL, OPEN_STEPS, Picture, Row, name_of

_OPEN = {"running", "waiting_tool", "waiting_human", "compensating", "paused"}
_ALL = {*_OPEN, *FINAL}
_WAYS: dict[str | None, set[str]] = {
    None: {"pending"},
    "pending": _ALL,
    **{status: _ALL - {status} for status in _OPEN},
    "paused": (_ALL | {"pending"}) - {"paused"},
    "failed": {"running", "compensating"},
    "cancelled": {"compensating"},
    "done": set(),
}


def transitions_are_legal(picture: Picture) -> Iterator[str]:
    """Each change of a run's status begins where the last one ended, and is one that runs may make."""
    stands: dict[str, str | None] = {}
    for each in picture.transitions:
        before = stands.get(each["run_id"])
        if each["old"] != before or each["new"] not in _WAYS[before]:
            yield f"run {each['run_id']} stood at {before} and went from {each['old']} to {each['new']}"
        stands[each["run_id"]] = each["new"]
    for run in picture.runs:
        if stands.get(run["run_id"]) != run["status"]:
            yield f"run {run['run_id']} is {run['status']}, and its last transition says {stands.get(run['run_id'])}"


def steps_are_contiguous(picture: Picture) -> Iterator[str]:
    """A run's steps are numbered from zero on, without a gap."""
    for run_id, steps in picture.steps_of().items():
        indexes = [step["step_index"] for step in steps]
        if indexes != list(range(len(indexes))):
            yield f"run {run_id} has the steps {indexes}"


def final_runs_have_nothing_open(picture: Picture) -> Iterator[str]:
    """In a run that is over nothing is pending, running or in doubt, and nothing reserved; one that goes on says so."""
    steps = picture.steps_of()
    for run in picture.runs:
        is_final = run["status"] in FINAL
        still_open = [name_of(step) for step in steps.get(run["run_id"], []) if step["status"] in OPEN_STEPS]
        if is_final and still_open:
            yield f"run {run['run_id']} is {run['status']}, and {still_open[0]} is open"
        if is_final != (run["finished_at"] is not None):
            yield f"run {run['run_id']} is {run['status']}, and finished_at is {run['finished_at']}"
        if run["status"] == "waiting_human" and run["waiting_reason"] is None:
            yield f"run {run['run_id']} waits for a person and does not say why"


def attempts_are_logged(picture: Picture) -> Iterator[str]:
    """Every attempt at a step has its row, and one of them runs while the step does: the newest."""
    logged: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for each in picture.attempts:
        logged[each["run_id"], each["step_index"]].append(each)
    for step in picture.steps:
        rows = logged[step["run_id"], step["step_index"]]
        if sorted(each["attempt"] for each in rows) != list(range(1, step["attempt"] + 1)):
            yield f"{name_of(step)} is at attempt {step['attempt']}, and {len(rows)} are logged"
        running = [each["attempt"] for each in rows if each["status"] == "running"]
        if running != ([step["attempt"]] if step["status"] == "running" else []):
            yield f"{name_of(step)} is {step['status']}, and the attempts {running} run"


def reservations_are_those_of_open_calls(picture: Picture) -> Iterator[str]:
    """What a run has reserved is what its running steps have."""
    for run in picture.runs:
        own = [step for step in picture.steps if step["run_id"] == run["run_id"]]
        for what in ("reserved_tokens", "reserved_cost_usd"):
            running = sum(step[what] for step in own if step["status"] == "running")
            if not run[what] == sum(step[what] for step in own) == running:
                yield f"run {run['run_id']} has {what} {run[what]}, its running steps {running}"


def ceilings_hold(picture: Picture) -> Iterator[str]:
    """What is spent is what was logged, and with what is reserved stays under the ceilings."""
    logged: Counter[str] = Counter()
    for each in picture.model_calls:
        logged[each["run_id"]] += each["tokens"]
    for run in picture.runs:
        if run["spent_tokens"] != logged[run["run_id"]]:
            yield f"run {run['run_id']} has spent {run['spent_tokens']} tokens, and {logged[run['run_id']]} are logged"
        budget = run["budget"]
        used = {
            "tokens": run["spent_tokens"] + run["reserved_tokens"],
            "cost_usd": float(run["spent_cost_usd"] + run["reserved_cost_usd"]),
            "attempts": run["spent_attempts"],
        }
        for name, value in used.items():
            if value > budget[name] + 1e-9:
                yield f"run {run['run_id']} has used {value} {name} of {budget[name]}"


def conversations_go_one_at_a_time(picture: Picture) -> Iterator[str]:
    """A run of a conversation begins once all that were submitted before it are over."""
    earlier: dict[str, list[Row]] = defaultdict(list)
    for run in picture.runs:
        if run["conversation_id"] is None:
            continue
        for before in earlier[run["conversation_id"]]:
            if before["status"] not in FINAL and run["started_at"] is not None:
                yield f"run {run['run_id']} has begun, and {before['run_id']} before it is {before['status']}"
        earlier[run["conversation_id"]].append(run)


RULES = (
    transitions_are_legal,
    steps_are_contiguous,
    final_runs_have_nothing_open,
    attempts_are_logged,
    reservations_are_those_of_open_calls,
    ceilings_hold,
    conversations_go_one_at_a_time,
)
