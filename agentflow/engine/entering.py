"""Entering a bulkhead before a step is claimed; a step that may not is parked."""

from __future__ import annotations

import structlog

from agentflow.declare.agent import Agent
from agentflow.declare.tool import Tool
from agentflow.domain.claim import ClaimAnswer, Refused
from agentflow.domain.hint import About
from agentflow.domain.run import Run
from agentflow.domain.step import MODEL, StepStatus
from agentflow.domain.waiting import TOOL_PAUSED, Denial, Person
from agentflow.engine.refusing import HELD_WAIT_S
from agentflow.engine.runtime import RECORD_MARGIN_S, Runtime
from agentflow.engine.standing import settle_standing
from agentflow.gate.protocol import Admitted, Bulkhead, Denied, Visitor
from agentflow.store import runs, steps
from agentflow.store.database import Row, Transaction
from agentflow.store.steps import PlannedStep

log = structlog.get_logger("agentflow.gate")


def enter_bulkhead(
    runtime: Runtime, run_id: str, step_index: int, about: About | None = None
) -> Admitted | Refused | None:
    """Ask the gate for a step; a denied one is parked. None where no gate is needed, or a claim will refuse anyway.

    Where what its hint says `about` the step is enough to ask with, nobody looks at it before.
    """
    entry = _entry_by_hint(runtime, run_id, step_index, about) if about else None
    if entry is not None and isinstance(admitted := runtime.gate.enter(*entry), Admitted):
        return admitted
    look = runtime.database.glance(lambda tx: steps.look(tx, run_id, step_index))
    if look is None or look["status"] != StepStatus.PENDING or not look["is_due"] or look["is_paused"]:
        return None
    if look["waiting_reason"] in list(Person):
        # Nobody has let it be called in time: its claim ends it without a call.
        return None
    entry = entry_of(runtime, look)
    if entry is None:
        return None
    if look["held"] is not None:
        return _park(runtime, look, TOOL_PAUSED, HELD_WAIT_S)
    answer = runtime.gate.enter(*entry)
    if isinstance(answer, Denied):
        return _park(runtime, look, answer.reason, answer.after_s)
    return answer


def _entry_by_hint(runtime: Runtime, run_id: str, step_index: int, about: About) -> tuple[Bulkhead, Visitor] | None:
    """Return which bulkhead a step enters that nobody has tried yet; None where its row has to be asked."""
    declaration = runtime.registry.agents.get(about.agent)
    if declaration is None:
        return None
    if about.tool_name == MODEL:
        limits, timeout_s = (declaration.limits, 0.0) if isinstance(declaration, Agent) else (None, 0.0)
    else:
        tool = declaration.tools.get(about.tool_name)
        limits, timeout_s = (tool.limits, tool.timeout_s) if tool is not None and not tool.cache else (None, 0.0)
    if limits is None or any(rate.key is not None for rate in limits.rates):
        return None
    return entry_of(
        runtime,
        {
            "run_id": run_id,
            "step_index": step_index,
            "agent": about.agent,
            "user_id": None,
            "tool_name": about.tool_name,
            "tool_input": {},
            "subject_tool": None,
            "bulkhead": about.bulkhead,
            "timeout_s": timeout_s,
            "attempt": 0,
        },
    )


def look_of(run: Run, step: PlannedStep) -> Row:
    """Return what the gate has to know of a step that is not written yet."""
    return {
        "run_id": run.run_id,
        "step_index": step.step_index,
        "agent": run.agent,
        "user_id": run.user_id,
        "tool_name": step.tool_name,
        "tool_input": step.input,
        "subject_tool": step.subject_tool,
        "args_hash": step.args_hash,
        "bulkhead": step.bulkhead,
        "timeout_s": step.timeout_s,
        "attempt": 0,
    }


def entry_of(runtime: Runtime, look: Row) -> tuple[Bulkhead, Visitor] | None:
    """Return which bulkhead a step has to enter, and as whom; None where no gate is asked."""
    declaration = runtime.registry.agents.get(look["agent"])
    if declaration is None or look["bulkhead"] is None:
        return None
    if look["tool_name"] == MODEL and isinstance(declaration, Agent):
        bulkhead = Bulkhead(look["bulkhead"], declaration.depends_on or look["bulkhead"], declaration.limits)
        keys, timeout_s = declaration.rate_keys(look["user_id"]), declaration.model_timeout_s
    elif (tool := declaration.tools.get(look["subject_tool"] or look["tool_name"])) is not None:
        if tool.cache and _is_cached(runtime, tool, look):
            return None
        bulkhead = Bulkhead(tool.name, tool.depends_on or tool.name, tool.limits)
        arguments = look["tool_input"]["arguments"] if look["subject_tool"] else look["tool_input"]
        keys, timeout_s = tool.rate_keys(arguments, look["user_id"]), look["timeout_s"]
    else:
        return None
    visitor = Visitor(
        run_id=str(look["run_id"]),
        step_index=look["step_index"],
        holder=runtime.worker.worker_id,
        lease_s=timeout_s + RECORD_MARGIN_S,
        is_retry=look["attempt"] > 0,
        rate_keys=keys,
        pool_slots=runtime.pool_slots,
    )
    return bulkhead, visitor


def _is_cached(runtime: Runtime, tool: Tool[..., object], look: Row) -> bool:
    found = runtime.database.glance(lambda tx: steps.cached_output(tx, look["run_id"], tool.name, look["args_hash"]))
    return found is not None


def _park(runtime: Runtime, look: Row, reason: str, after_s: float) -> Refused:
    """Park a denied step. One that was woken since it was looked at is left to that hint."""
    run_id, step_index, hinted_at = str(look["run_id"]), look["step_index"], look["hinted_at"]

    def park(tx: Transaction) -> bool:
        return steps.park_denied(tx, run_id, step_index, reason, after_s, hinted_at=hinted_at)

    def park_with_run(tx: Transaction) -> None:
        locked = runs.lock(tx, run_id)
        if locked is not None and park(tx):
            settle_standing(tx, locked[0], reason, step_index)

    if reason == Denial.POOL_FULL:
        # Another process of this very worker will be free in a moment: the run is as little waiting as in its queue.
        runtime.database.glance(park)
    else:
        runtime.database.atomically(park_with_run)
    log.info("denied", run_id=run_id, step_index=step_index, reason=str(reason), after_s=round(after_s, 3))
    return Refused(ClaimAnswer.DENIED, str(reason))
