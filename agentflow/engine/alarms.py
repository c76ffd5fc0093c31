"""Telling a person of what needs one. Alerts of one topic are paged together."""

from __future__ import annotations

from agentflow.domain.claim import LockedStep
from agentflow.domain.decision import Done, Fail
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import AttemptOutcome, Failed, InDoubt
from agentflow.domain.run import Run
from agentflow.store.alerts import raise_alert
from agentflow.store.database import Transaction

_KINDS = {ErrorKind.BUG, ErrorKind.AUTH, ErrorKind.QUOTA, ErrorKind.POISON, ErrorKind.UNCONFIRMED}


def alert_step(tx: Transaction, run: Run, step: LockedStep, cause: str, message: str) -> None:
    """Tell a person of a step, once per cause."""
    where = f"{cause}:{run.run_id}:{step.step_index}"
    topic = f"{cause}:{step.bulkhead or step.tool_name}"
    raise_alert(tx, run.tenant, where, message, run_id=run.run_id, step_index=step.step_index, topic=topic)


def alert_outcome(tx: Transaction, run: Run, step: LockedStep, outcome: AttemptOutcome) -> None:
    """Tell a person of a doubt, and of what a person has to mend: a bug, a credential, a quota; of nothing else."""
    match outcome:
        case InDoubt(_, message):
            alert_step(tx, run, step, "in_doubt", f"{step.tool_name!r} is in doubt: {message}")
        case Failed(kind, message) if kind in _KINDS:
            alert_step(tx, run, step, kind, f"{step.tool_name!r} failed ({kind}): {message}")
        case _:
            return


def alert_ending(tx: Transaction, run: Run, ending: Done | Fail) -> None:
    """Tell a person of a run that came to a ceiling."""
    kind, message = _ceiling_of(ending)
    if kind.startswith("budget_") or kind == "deadline":
        told = f"run {run.run_id} of {run.agent!r} came to its ceiling: {message}"
        raise_alert(tx, run.tenant, f"{kind}:{run.run_id}", told, run_id=run.run_id, topic=f"{kind}:{run.agent}")


def _ceiling_of(ending: Done | Fail) -> tuple[str, str]:
    if isinstance(ending, Fail):
        return ending.reason, ending.message
    why = ending.why or {}
    return str(why.get("kind", "")), str(why.get("message", ""))
