"""`agentflow approvals`: what runs ask of people, and what people say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from agentflow.domain.approval import Approval

app = typer.Typer(help="What runs ask of people: approvals and questions.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the first digits of it: eight at least.")]
By = Annotated[str | None, typer.Option(help="Who says so; else this machine's user.")]
Reason = Annotated[str | None, typer.Option(help="Why; whoever asked for the call is told.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]

_ALL = "all"
_SHORT_ID = 8
_MOST_ARGUMENTS = 300


@app.command("list")
def list_approvals(
    *,
    run: Annotated[str | None, typer.Option(metavar="RUN_ID", help="Only those of this run.")] = None,
    status: Annotated[
        str, typer.Option(help="pending, approved, rejected, answered, expired, closed, or all.")
    ] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    json: AsJson = False,
) -> None:
    """List what people are asked: what of which run, since when, until when. The newest first."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client

    wanted = _status(status)
    with reading_client() as client:
        found = client.approvals.list(status=wanted, run_id=run, most=limit)
    if json:
        print_json(found)
    elif found:
        _print(found)
    else:
        console(errors=True).print("nobody is asked anything" if wanted == "pending" else "no approvals", style="dim")


@app.command()
def approve(
    approval_id: Id,
    *,
    by: By = None,
    reason: Reason = None,
    arguments: Annotated[
        str | None, typer.Option(metavar="JSON", help="The arguments you approve; refused if they are not the same.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Let the call be made, or what a run did be undone."""
    from agentflow.cli.inputs import parse_json
    from agentflow.cli.reaching import submitting_client

    given = None if arguments is None else parse_json(arguments)
    with submitting_client() as client:
        _say(client.approvals.approve(approval_id, by=by, reason=reason, arguments=given), as_json=json)


@app.command()
def reject(approval_id: Id, *, by: By = None, reason: Reason = None, json: AsJson = False) -> None:
    """Have the call not be made, or leave what a run did as it is."""
    from agentflow.cli.reaching import submitting_client

    with submitting_client() as client:
        _say(client.approvals.reject(approval_id, by=by, reason=reason), as_json=json)


@app.command()
def answer(
    approval_id: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer; `-` reads it from standard input.")],
    *,
    data: Annotated[bool, typer.Option("--data", help="The answer is JSON data, not text.")] = False,
    by: By = None,
    json: AsJson = False,
) -> None:
    """Answer a question; the agent that asked it goes on with the answer."""
    from agentflow.cli.inputs import parse_json, read_text
    from agentflow.cli.reaching import submitting_client
    from agentflow.settings import settings

    said = read_text(text, settings().max_input_bytes) if text == "-" else text
    value = parse_json(said) if data else said.rstrip("\n")
    with submitting_client() as client:
        _say(client.approvals.answer(approval_id, value, by=by), as_json=json)


def _status(text: str) -> str | None:
    from agentflow.cli.complaints import WrongUse
    from agentflow.domain.approval import ApprovalStatus

    if text == _ALL:
        return None
    if text not in set(ApprovalStatus):
        raise WrongUse(f"--status={text!r} is no status; give one of {', '.join(ApprovalStatus)}, {_ALL}")
    return text


def _say(decided: Approval, *, as_json: bool) -> None:
    from agentflow.cli.output import console, print_json

    if as_json:
        print_json(decided)
        return
    what = "the question" if decided.kind == "question" else f"{decided.tool!r}"
    said = f"{what} (step {decided.step_index} of run {decided.run_id}) is {decided.status} by {decided.decided_by!r}"
    console().print(said, soft_wrap=True)


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    from datetime import UTC, datetime

    from rich.text import Text

    from agentflow.cli.output import console

    now, screen = datetime.now(UTC), console()
    for number, row in enumerate(found):
        if number:
            screen.print()
        head = Text(str(row["approval_id"])[:_SHORT_ID], style="bold")
        head.append(f"  {_what(row)}", style="")
        screen.print(head, soft_wrap=True)
        for line in (*_asked(row), _whose(row), _when(row, now)):
            screen.print(Text(f"          {line}"), soft_wrap=True)


def _what(row: Mapping[str, Any]) -> str:
    match row["kind"]:
        case "question":
            return "asks a question"
        case "undo":
            return "shall what it did be undone?"
        case _:
            return f"wants to call {row['tool']}"


def _asked(row: Mapping[str, Any]) -> Sequence[str]:
    from agentflow.cli.figures import one_line, printable

    asked = row["asked"]
    if row["kind"] == "question":
        return printable(str(asked)).splitlines()
    if row["kind"] == "undo":
        done = ", ".join(f"{each['tool']} (step {each['step']})" for each in asked["effects"])
        return [f"the run fails: {one_line(asked['message'] or asked['reason'])}", f"it did {done}"]
    if not isinstance(asked, dict) or len(one_line(asked)) <= _MOST_ARGUMENTS:
        return [one_line(asked)]
    return [f"{one_line(name)}: {one_line(value)}" for name, value in asked.items()]


def _whose(row: Mapping[str, Any]) -> str:
    from agentflow.cli.figures import one_line

    user = f" for {one_line(row['user_id'])}" if row["user_id"] else ""
    return f"{row['agent']}, step {row['step_index']} of run {row['run_id']}{user}"


def _when(row: Mapping[str, Any], now: datetime) -> str:
    from agentflow.cli.figures import age, between, moment, one_line

    asked = f"asked {age(row['asked_at'], now)}"
    if row["status"] == "pending":
        left = between(now, row["expires_at"]) if row["expires_at"] > now else ""
        return f"{asked}, {f'expires in {left}' if left else 'has expired'}, at {moment(row['expires_at'])}"
    by = f" by {one_line(row['decided_by'])}" if row["decided_by"] else ""
    why = f": {one_line(row['reason'])}" if row["reason"] else ""
    at = f" at {moment(row['decided_at'])}" if row["decided_at"] else ""
    return f"{asked}, {row['status']}{by}{at}{why}"
