"""The attempts at a step, and what it waits for until the next one, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from agentflow.cli.figures import between, duration, one_line
from agentflow.domain.waiting import RUN_PAUSED, TOOL_PAUSED, VERIFYING, Person
from agentflow.store.reads import StepRecord

_LATEST_TRIES = 6


def tries_of(step: StepRecord, *, full: bool = False) -> Iterator[tuple[str, str]]:
    """Return the lines on a step's attempts: one for each where any was answered by another, the latest of many."""
    if not any(each["status"] == "retried" for each in step.tries):
        if len(step.tries) > 1:
            yield "tries", ", ".join(_brief(each) for each in step.tries)
        return
    shown = step.tries if full else step.tries[-_LATEST_TRIES:]
    if hidden := len(step.tries) - len(shown):
        yield "try", f"... {hidden} earlier (--full shows them)"
    for each in shown:
        yield "try", f"{each['attempt']}: {retried(each['error']) if each['status'] == 'retried' else _end(each)}"


def retried(error: Any) -> str:
    """Return a failure that was answered by another attempt: `503 transient, again in 1.4 s: Service Unavailable`."""
    if not isinstance(error, Mapping):
        return f"failed, again: {one_line(error)}"
    words = " ".join(str(error[name]) for name in ("status", "kind") if error.get(name) is not None)
    if error.get("retry_after_s"):
        words += f", asked for {duration(float(error['retry_after_s']))}"
    if (again_s := error.get("retry_in_s")) is not None:
        words += f", again in {duration(float(again_s))}" if again_s else ", again at once"
    return f"{words}: {one_line(error['message'])}" if error.get("message") else words


def waits_of(step: StepRecord, now: datetime) -> str:
    """Return what a pending step waits for, for how long by now, and when it is due again; nothing of another."""
    if step.status == "in_doubt" and step.waiting_reason == VERIFYING:
        return "for its verification"
    if step.status != "pending":
        return ""
    if step.waiting_reason is None:
        return f"for a worker of queue {step.queue}"
    since = step.tries[-1]["ended_at"] if step.tries else step.created_at
    waited = f"{step.waiting_reason} for {between(since, now)}" if since and since < now else step.waiting_reason
    if step.waiting_reason == TOOL_PAUSED:
        return f"{waited}; `agentflow tools list` says by whom and why"
    if step.waiting_reason == RUN_PAUSED:
        return f"{waited}; `agentflow runs resume` lets the run go on"
    due = step.next_attempt_at
    if step.waiting_reason in list(Person) and due:
        until = f"expires in {between(now, due)}" if due > now else "has expired"
        return f"{waited}, {until}; `agentflow approvals list` shows it"
    return f"{waited}, again in {between(now, due)}" if due and due > now else waited


def _brief(attempt: Mapping[str, Any]) -> str:
    return f"{attempt['attempt']} {_end(attempt)}"


def _end(attempt: Mapping[str, Any]) -> str:
    error = attempt["error"] if isinstance(attempt["error"], Mapping) else {}
    # "lost" says itself what kind it is; how that came about is what is worth reading.
    why = error.get("message") if attempt["status"] == "lost" else error.get("kind")
    words = [str(attempt["status"]) + (f" ({why})" if why else "")]
    if attempt["latency_ms"] is not None:
        words.append(f"in {duration(attempt['latency_ms'] / 1000)}")
    elif attempt["ended_at"] is not None:
        words.append(f"after {between(attempt['started_at'], attempt['ended_at'])}")
    if attempt["late_result"] is not None:
        words.append("with a late answer")
    return " ".join(words)
