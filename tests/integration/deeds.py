"""Tools whose calls can be undone, runs that fail after them, and the log of what was done and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentflow import Context, Fail, Happened, Next, Pipeline, Run, Step, ToolError, Wait, Workflow, tool
from agentflow.declare.declaration import Declaration
from agentflow.declare.tool import Tool
from agentflow.domain.decision import Decision
from agentflow.domain.run import RUN_TRANSITIONS, RunStatus
from agentflow.domain.step import NewStep
from agentflow.store import runs
from agentflow.testing import FinishedRun
from tests.integration.hands import Hands

LOG: list[str] = []
"""What was done and undone, in order: `order`, `undo order`, ..."""

GIVEN: list[Mapping[str, Any]] = []
"""What each compensation was given."""

Raising = Callable[[Context], object]
AnyTool = Tool[Any, Any]


def a_deed(
    name: str,
    *,
    effect: str = "keyed",
    undo: str | None = None,
    key: str | None = None,
    does: Raising | None = None,
    undoes: Raising | None = None,
    needs_result: bool = False,
    **declared: Any,
) -> AnyTool:
    """A tool that can be undone. `undo` is the class of that; `does` and `undoes` happen before what they belong to."""

    def do(ctx: Context, n: int = 1) -> dict[str, Any]:
        if does is not None:
            does(ctx)
        LOG.append(name)
        return {"made": name, "key": ctx.idempotency_key}

    def take_back(ctx: Context, made: dict[str, Any] | None, n: int) -> str:
        if undoes is not None:
            undoes(ctx)
        GIVEN.append({"made": made, "n": n, "key": ctx.idempotency_key, "subject_key": ctx.subject_key})
        LOG.append(f"undo {name}")
        return f"{name} is undone"

    def take_back_what_is_known(ctx: Context, made: dict[str, Any], n: int) -> str:
        return take_back(ctx, made, n)

    def was_done(ctx: Context) -> Happened[dict[str, Any]]:
        return Happened({"made": name, "key": ctx.idempotency_key})

    deed: AnyTool = tool(effect=effect, name=name, key=key, timeout_s=5, **declared)(do)
    if effect == "verified":
        deed.verify(was_done)
    deed.compensate(effect=undo)(take_back_what_is_known if needs_result else take_back)
    return deed


def raising(**said: Any) -> Raising:
    """What fails each time: it may have happened, unless `happened` says otherwise; for good, unless `kind` does."""

    def fail(_: Context) -> None:
        raise ToolError("no", **said)

    return fail


def once(action: Raising) -> Raising:
    """What fails the first time only."""
    left = [action]

    def act(ctx: Context) -> None:
        if left:
            left.pop()(ctx)

    return act


@tool(effect="read")
def refuse(n: int = 1) -> str:
    """The end of a run that fails: a card that is refused, say."""
    raise ToolError("refused", happened=False)


def failing(*deeds: AnyTool, name: str = "failing", **declared: Any) -> Pipeline:
    """A pipeline that does these deeds and then fails."""
    return Pipeline(name, [*deeds, refuse], **declared)


def deciding(*deeds: AnyTool, end: Decision | None = None, name: str = "flow", **declared: Any) -> Workflow:
    """A workflow that does these deeds, one after another whatever they come to, and ends so."""

    def decide(run: Run, history: Sequence[Step]) -> Decision:
        if any(step.is_open for step in history):
            return Wait()
        if len(history) < len(deeds):
            return Next([NewStep(deeds[len(history)].name, {})])
        return end or Fail("sold_out", "no seat is left")

    return Workflow(name, decide=decide, tools=[*deeds], **declared)


def side_by_side(*deeds: AnyTool, end: Decision | None = None, **declared: Any) -> Workflow:
    """A workflow that does these deeds side by side, and ends so as soon as one of them has failed or all are done."""

    def decide(run: Run, history: Sequence[Step]) -> Decision:
        if not history:
            return Next([NewStep(deed.name, {}) for deed in deeds])
        if any(step.status == "error" for step in history) or not any(step.is_open for step in history):
            return end or Fail("sold_out", "no seat is left")
        return Wait()

    return Workflow("abreast", decide=decide, tools=[*deeds], **declared)


def begun(hands: Hands, agent: Declaration, *, steps: int = 0, **submission: Any) -> str:
    """Begin a run and take its first steps, those that are no compensation; return its id."""
    run_id = hands.begin(agent, submission.pop("input", {}), **submission)
    for index in range(steps):
        hands.do(run_id, index)
    return run_id


def worked(hands: Hands, agent: Declaration, input: Any = None, **submission: Any) -> FinishedRun:
    """Submit a run, move everything as far as it goes without a person, and return it."""
    run_id = hands.submit(agent, {} if input is None else input, **submission)
    hands.work()
    return look(hands, run_id)


def look(hands: Hands, run_id: str) -> FinishedRun:
    return FinishedRun.read(hands.harness.client, run_id, [])


def undone(run: FinishedRun) -> list[int | None]:
    """The indexes of the steps that a run's compensations are about, in order."""
    rows = [step for step in run.steps if step.tool_name == "compensate"]
    return [step.subject_index for step in rows]


def transitions(run: FinishedRun) -> list[str]:
    """The statuses that a run went through; each change of them is a legal one."""
    for each in run.transitions[1:]:
        assert RunStatus(each["new"]) in RUN_TRANSITIONS[RunStatus(each["old"])]
    return [each["new"] for each in run.transitions]


def keys(hands: Hands, *names: str) -> list[tuple[str, int, str]]:
    """The idempotency records: key, generation, status."""
    rows = hands.sql("select key, generation, status from agentflow.idempotency_records order by key, generation")
    return [(row["key"], row["generation"], row["status"]) for row in rows if not names or row["key"] in names]


def stop(hands: Hands, run_id: str, reason: str) -> None:
    """Have a run asked to stop, as an operator, a deadline or a ceiling does."""
    hands.harness.database.atomically(lambda tx: runs.request_stop(tx, run_id, reason))
