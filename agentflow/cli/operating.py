"""`agentflow runs cancel|pause|resume|resolve|retry|fork`: an operator's hand on runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentflow.client import Client
    from agentflow.client.operations import Operations
    from agentflow.store.reads import StepRecord

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run's id.")]
By = Annotated[str | None, typer.Option(help="Who says so; else this machine's user.")]
Reason = Annotated[str | None, typer.Option(help="Why; whoever looks at the run later sees it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the run as JSON.")]

_MOST_INSTRUCTIONS = 1_000_000


def cancel(
    run_id: RunId,
    *,
    compensate: Annotated[bool, typer.Option("--compensate", help="Undo what it did.")] = False,
    by: By = None,
    reason: Reason = None,
    json: AsJson = False,
) -> None:
    """Stop a run: calls under way are recorded, nothing more begins."""
    _do(run_id, lambda runs: runs.cancel(run_id, compensate=compensate, by=by, reason=reason), as_json=json)


def pause(run_id: RunId, *, by: By = None, reason: Reason = None, json: AsJson = False) -> None:
    """Let a run begin nothing more until it is resumed; its time stands still."""
    _do(run_id, lambda runs: runs.pause(run_id, by=by, reason=reason), as_json=json)


def resume(run_id: RunId, *, by: By = None, reason: Reason = None, json: AsJson = False) -> None:
    """Let a paused run go on."""
    _do(run_id, lambda runs: runs.resume(run_id, by=by, reason=reason), as_json=json)


def resolve(
    run_id: RunId,
    resolution: Annotated[str, typer.Argument(metavar="happened|retry|fail", help="What became of the call.")],
    *,
    step: Annotated[int | None, typer.Option(help="Which step, where several are in doubt.")] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="JSON", help="With happened: what the tool would have returned.")
    ] = None,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="With fail: it certainly did not; its key is free again.")
    ] = False,
    by: By = None,
    reason: Reason = None,
    json: AsJson = False,
) -> None:
    """Say what became of a call in doubt: it happened, it is to be made again, or it counts as failed."""
    from agentflow.cli.inputs import parse_json

    given = {} if answer is None else {"answer": parse_json(answer)}

    def say(runs: Operations) -> None:
        runs.resolve(run_id, resolution, step_index=step, did_not_happen=did_not_happen, by=by, reason=reason, **given)

    _do(run_id, say, as_json=json, before=lambda client: _doubts(client, run_id, step))


def retry(
    run_id: RunId,
    *,
    step: Annotated[int | None, typer.Option(help="Which failed step; else the one that ended the run.")] = None,
    budget: Annotated[
        list[str] | None, typer.Option(metavar="CEILING=N", help="Raise a ceiling of this run: attempts=80.")
    ] = None,
    by: By = None,
    reason: Reason = None,
    json: AsJson = False,
) -> None:
    """Take up a failed run again at the step that failed, under the same key."""
    raised = _ceilings(budget or ())
    _do(run_id, lambda runs: runs.retry(run_id, step_index=step, budget=raised, by=by, reason=reason), as_json=json)


def fork(
    run_id: RunId,
    *,
    from_step: Annotated[int, typer.Option(metavar="N", help="The first step that the copy does itself.")],
    model: Annotated[str | None, typer.Option(help="Another model, as provider:name.")] = None,
    instructions: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Other instructions; @FILE reads them from a file.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Copy it though the copy may do once more what it did.")
    ] = False,
    by: By = None,
    reason: Reason = None,
    json: AsJson = False,
) -> None:
    """Begin a run anew from one of its steps, as a copy, and write the copy's id."""
    from agentflow.cli.inputs import read_text
    from agentflow.cli.output import print_json
    from agentflow.cli.reaching import submitting_client

    own = None if instructions is None else read_text(instructions, _MOST_INSTRUCTIONS)
    with submitting_client() as client:
        copy_id = client.operations.fork(
            run_id, from_step, model=model, instructions=own, force=force, by=by, reason=reason
        )
        if json:
            print_json(client.get(copy_id))
        else:
            print(copy_id)


def _do(
    run_id: str,
    order: Callable[[Operations], None],
    *,
    as_json: bool,
    before: Callable[[Client], Sequence[str]] | None = None,
) -> None:
    """Carry out an order and say where the run stands; `before` says what is known before."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import submitting_client

    with submitting_client() as client:
        known = before(client) if before is not None else ()
        if not as_json:
            for line in known:
                console().print(line, soft_wrap=True)
        order(client.operations)
        run = client.get(run_id)
    if as_json:
        print_json(run)
        return
    asked = " and is asked to stop" if run.stop_requested and not run.is_final else ""
    asked = " and will be paused" if run.pause_requested and run.status != "paused" else asked
    console().print(f"run {run.run_id} is {run.status}{asked}", soft_wrap=True)


def _doubts(client: Client, run_id: str, step: int | None) -> list[str]:
    from datetime import UTC, datetime

    from agentflow.cli.doubts import doubts_of

    now = datetime.now(UTC)
    client.get(run_id)
    doubts = doubts_of(client.steps(run_id))
    return [_doubt(each, now) for each in doubts if step in {None, each.step_index}]


def _doubt(step: StepRecord, now: Any) -> str:
    from agentflow.cli.doubts import last_moment_of, name_of
    from agentflow.cli.figures import one_line

    message = one_line((step.error or {}).get("message", ""))
    return f"step {step.step_index} ({name_of(step)}) is in doubt: {message}; {last_moment_of(step, now)}"


def _ceilings(given: Sequence[str]) -> dict[str, float | None]:
    """Return ceilings by name; `none` is no ceiling."""
    from agentflow.cli.complaints import WrongUse
    from agentflow.domain.quoting import quoted

    found: dict[str, float | None] = {}
    for text in given:
        name, is_given, value = text.partition("=")
        try:
            found[name] = None if value == "none" else float(value) if "." in value else int(value)
        except ValueError:
            is_given = ""
        if not (name and is_given):
            raise WrongUse(f"--budget {quoted(text)} raises nothing; write it as attempts=80")
    return found
