"""What must hold between the database and the world: nothing twice, nothing missing, nothing that nobody let happen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from agentflow.domain import payload
from tests.stateful.agents import GATED, UNDOABLE
from tests.stateful.outside import World
from tests.stateful.picture import Picture, Row, name_of, sent_key

_OUTSIDE = {"keyed", "idempotent", "verified", "unsafe"}
_OWN = {"model", "verify", "compensate", "approval"}


def nothing_happens_twice(picture: Picture, world: World) -> Iterator[str]:
    """Under one key one effect, of every class but those that bear a repeat."""
    for (tool, key), landed in world.landed.items():
        if len(landed) > 1 and landed[0].effect != "idempotent":
            yield f"{tool} ({landed[0].effect}) happened {len(landed)} times under {key}: {landed}"


def repeats_come_in_order(picture: Picture, world: World) -> Iterator[str]:
    """No earlier attempt of an `idempotent` tool lands on top of a later one."""
    for (tool, key), landed in world.landed.items():
        numbers = [each.attempt for each in landed]
        if landed and landed[0].effect == "idempotent" and numbers != sorted(numbers):
            yield f"{tool} under {key} landed in the order {numbers}"


def what_is_ok_happened(picture: Picture, world: World) -> Iterator[str]:
    """A step that is ok has its effect: its own, or under whichever generation of its key it was answered from."""
    keys = {(tool, key.partition("#")[0]) for (tool, key), landed in world.landed.items() if landed}
    for step in _tools_of(picture):
        if step["status"] != "ok" or step["effect"] not in _OUTSIDE:
            continue
        if step["attempt"] and not world.has((step["tool_name"], sent_key(step))):
            yield f"{name_of(step)} is ok, and did not happen under {sent_key(step)}"
        # Without an attempt and a business key it is a copy, of the run that its own was forked from.
        if step["business_key"] and (step["tool_name"], step["idempotency_key"]) not in keys:
            yield f"{name_of(step)} is ok, and nothing happened under its key"


def what_happened_is_known(picture: Picture, world: World) -> Iterator[str]:
    """Every call is an attempt of a step that had been claimed, with the step's own arguments and key."""
    for asked in world.calls:
        step = picture.step(asked.run_id, asked.step_index)
        if step is None or step["attempt"] < asked.attempt:
            yield f"{asked} was made, and the database knows of no such attempt"
        elif step["tool_name"] == asked.tool and step["attempt"] == asked.attempt and sent_key(step) != asked.key:
            yield f"{asked} was made, and its step's key is {sent_key(step)}"


def what_certainly_did_not_happen_did_not(picture: Picture, world: World) -> Iterator[str]:
    """Where the database says for certain that a call came to nothing, it did and will."""
    for step in _tools_of(picture):
        certain = step["status"] == "error" and (step["error"] or {}).get("happened") is False
        place = (step["tool_name"], sent_key(step))
        if certain and step["effect"] in {"verified", "unsafe"} and not step["business_key"] and world.may_have(place):
            yield f"{name_of(step)} is said not to have happened, and did or may"


def writes_are_there_once(picture: Picture, world: World) -> Iterator[str]:
    """A transactional step has written its row and its letter if and only if it is ok."""
    rows = Counter((each["run_id"], each["step_index"]) for each in picture.ledger)
    letters = Counter((each["run_id"], each["step_index"]) for each in picture.outbox)
    for step in picture.steps:
        place, written = (step["run_id"], step["step_index"]), step["tool_name"] == "book" and step["status"] == "ok"
        due = int(written and step["attempt"] > 0)
        if (rows.pop(place, 0), letters.pop(place, 0)) != (due, due):
            yield f"{name_of(step)} is {step['status']}, and its row and its letter are not there {due} times"
    if rows or letters:
        yield f"{dict(rows)} and {dict(letters)} were written for no step"


def gated_calls_were_approved(picture: Picture, world: World) -> Iterator[str]:
    """A call that wants a person was made with the very arguments that one has approved."""
    approved = {
        (each["run_id"], each["step_index"]): bytes(each["args_hash"])
        for each in picture.approvals
        if each["status"] == "approved"
    }
    for asked in world.calls:
        place = (asked.run_id, asked.step_index)
        if asked.tool == GATED and approved.get(place) != payload.digest(asked.arguments):
            yield f"{asked} was made, and nobody had approved it"


def what_is_undone_is_undone_once(picture: Picture, world: World) -> Iterator[str]:
    """An effect is undone by one step, in a run that fails or is cancelled."""
    statuses = {run["run_id"]: run["status"] for run in picture.runs}
    for (tool, key), doers in world.undone.items():
        if len(doers) > 1:
            yield f"{tool} under {key} was undone by {doers}"
        if any(statuses[doer.partition(":")[0]] == "done" for doer in doers):
            yield f"{tool} under {key} was undone by {doers}, in a run that is done"


def what_is_said_to_be_undone_is(picture: Picture, world: World) -> Iterator[str]:
    """Where a run says that it has undone what it did, nothing is left of that."""
    undone = {run["run_id"] for run in picture.runs if run["compensation"] == "done"}
    for (tool, key), landed in world.landed.items():
        if landed and landed[0].run_id in undone and tool in UNDOABLE and not world.undone.get((tool, key)):
            yield f"{landed[0]} happened and was not undone, and its run says that it was"


def keys_say_what_their_steps_say(picture: Picture, world: World) -> Iterator[str]:
    """A business key has one holder, whose step stands where the key says."""
    generations: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for key in picture.keys:
        generations[key["tool"], key["key"]].append(key)
        yield from _wrong_key(picture, key)
    for (tool, key), rows in generations.items():
        if [row["generation"] for row in rows] != list(range(1, len(rows) + 1)):
            yield f"{tool} {key} has the generations {[row['generation'] for row in rows]}"
        if any(row["status"] != "compensated" for row in rows[:-1]):
            yield f"{tool} {key} is used anew, and was not closed: {rows}"
    held = {(row["run_id"], row["step_index"]): row["status"] for row in picture.keys}
    for step in _tools_of(picture):
        wanted = _HOLDS.get(step["status"])
        if step["business_key"] and wanted and held.get((step["run_id"], step["step_index"])) not in wanted:
            yield f"{name_of(step)} is {step['status']}, and does not hold its key"


_STANDINGS = {
    "in_flight": {"running", "pending"},
    "done": {"ok"},
    "in_doubt": {"in_doubt", "error", "ok", "pending", "running"},
    # A step that waited for another attempt when its run was ended is skipped, and its last may have happened.
    "compensating": {"ok", "error", "skipped"},
    "compensated": {"ok", "error", "skipped"},
}
# What a person lets be tried again is in doubt until that is recorded: what was sent before may still arrive.
_HOLDS = {"running": {"in_flight", "in_doubt"}, "in_doubt": {"in_doubt"}}


def _wrong_key(picture: Picture, key: Row) -> Iterator[str]:
    step = picture.step(key["run_id"], key["step_index"])
    if step is None or step["status"] not in _STANDINGS[key["status"]]:
        yield f"{key['tool']} {key['key']} is {key['status']}, and its step is {step and step['status']}"
    elif key["status"] == "done" and key["output"] != step["tool_output"]:
        yield f"{key['tool']} {key['key']} answers {key['output']}, and its step gave {step['tool_output']}"


def _tools_of(picture: Picture) -> list[Row]:
    return [step for step in picture.steps if step["tool_name"] not in _OWN]


RULES = (
    nothing_happens_twice,
    repeats_come_in_order,
    what_is_ok_happened,
    what_happened_is_known,
    what_certainly_did_not_happen_did_not,
    writes_are_there_once,
    gated_calls_were_approved,
    what_is_undone_is_undone_once,
    what_is_said_to_be_undone_is,
    keys_say_what_their_steps_say,
)
