"""Forking a run: a copy that begins at one of its steps, with another model or other instructions if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentflow.domain import payload
from agentflow.domain.hint import Hint, advance_hint
from agentflow.domain.quoting import quoted
from agentflow.domain.run import Run
from agentflow.engine.operating.order import Order, refused
from agentflow.policy.forking import overrides_of, rebuilt_notes, refuse_effects, refuse_place
from agentflow.store import operations, runs
from agentflow.store.database import Transaction

_LONGEST_MODEL = 200


@dataclass(frozen=True, slots=True)
class Fork:
    """A copy to be made: from which step on, and what it has of its own instead of its agent's."""

    from_step: int
    model: str | None = None
    instructions: str | None = None
    is_forced: bool = False


def fork(tx: Transaction, run_id: str, order: Order, fork_id: str, wanted: Fork) -> list[Hint]:
    """Make a copy of a run with the id `fork_id`: the steps before `from_step` as they ended, and a budget unspent.

    The copy has the same input and user and no conversation. What it copies belongs to the run it is copied from: it is
    never undone by the copy. Refused where the copy could do something twice, unless forced.
    """
    run, _ = order.lock(tx, run_id)
    hints = [advance_hint(fork_id, run.queue)]
    if order.was_done(tx, run):
        return hints
    history = runs.history(tx, run.run_id)
    why = _refuse_shape(wanted) or refuse_place(history, wanted.from_step) or _refuse_overrides(tx, run, wanted)
    if why is None and not wanted.is_forced and (why := refuse_effects(history, wanted.from_step)):
        why = f"{why}. Fork it before that step's effect, or force it"
    if why is not None:
        raise refused(run.run_id, why)
    notes = rebuilt_notes(history[: wanted.from_step])
    overrides = payload.sanitise(overrides_of(run, wanted.model, wanted.instructions)).value
    queue = operations.fork(tx, run, fork_id, wanted.from_step, scratchpad=notes, overrides=overrides)
    said = {"model": wanted.model, "instructions": wanted.instructions, "forced": wanted.is_forced or None}
    order.note(tx, run, "forked", step_index=wanted.from_step, to=fork_id, **said)
    return [advance_hint(fork_id, queue)]


def _refuse_shape(wanted: Fork) -> str | None:
    """Return what of a copy that is asked for is of no use, whatever the run; None of one that may be."""
    if type(wanted.from_step) is not int:
        return f"step {quoted(wanted.from_step)} is not a step to fork from; give its number"
    model: Any = wanted.model
    instructions: Any = wanted.instructions
    if model is not None and not (isinstance(model, str) and len(model) <= _LONGEST_MODEL and model.isprintable()):
        return f"model={quoted(model)} names none; write it as 'provider:name'"
    if instructions is not None and not isinstance(instructions, str):
        return f"instructions={quoted(instructions)} are no text; give text, or leave them out"
    return None


def _refuse_overrides(tx: Transaction, run: Run, wanted: Fork) -> str | None:
    """Return why a copy can't have what it is to have of its own: its agent has no model, or the name says none."""
    for name, value in (("model", wanted.model), ("instructions", wanted.instructions)):
        if value is None:
            continue
        kind = operations.agent_kind(tx, run.agent)
        if kind != "agent":
            said = "registered by no worker" if kind is None else f"a {kind}"
            return f"its agent {run.agent!r} is {said} and has no {name} to replace"
        if not value.strip():
            return f"{name}={value!r} is empty; leave it out"
    if wanted.model is not None and not all(wanted.model.partition(":")):
        return f"model={wanted.model!r} names none; write it as 'provider:name'"
    return None
