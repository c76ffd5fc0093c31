"""`agentflow outbox`: the messages that runs send, and an operator's hand on those that did not arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentflow.client.outbox import Messages

app = typer.Typer(help="The messages that runs send: e-mail, webhooks, kinds of your own.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the first digits of it: eight at least.")]
Reason = Annotated[str, typer.Option(help="Why; whoever looks at the message later sees it.")]
By = Annotated[str | None, typer.Option(help="Who says so; else this machine's user.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]

_STYLES = {"sent": "green", "failed": "bold red", "in_doubt": "bold yellow", "sending": "cyan", "claimed": "cyan"}
_SHORT_ID = 8


@app.command("list")
def list_messages(
    *,
    status: Annotated[
        str | None, typer.Option(help="pending, claimed, sending, sent, failed or in_doubt; all if not given.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only messages of this kind.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN_ID", help="Only those of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    json: AsJson = False,
) -> None:
    """List messages, the newest first: where each stands, and why it has not arrived."""
    from agentflow.cli.output import console, print_json

    _check_status(status)
    with _messages() as messages:
        found = messages.list(status=status, kind=kind, run_id=run, most=limit)
    if json:
        print_json(found)
    elif found:
        _print_table(found)
    else:
        console(errors=True).print("no messages", style="dim")


@app.command()
def resolve(
    message_id: Id,
    arrived: Annotated[str, typer.Argument(metavar="sent|failed", help="sent: it arrived; failed: it did not.")],
    *,
    reason: Reason,
    by: By = None,
    json: AsJson = False,
) -> None:
    """Say of a message in doubt whether it arrived. Nothing is sent: for that, retry it."""
    with _messages() as messages:
        _say(messages.resolve(message_id, arrived, reason=reason, by=by), arrived, as_json=json)


@app.command()
def retry(message_id: Id, *, reason: Reason, by: By = None, json: AsJson = False) -> None:
    """Have a message that failed, or is in doubt, sent again under its id. One that did arrive arrives twice."""
    with _messages() as messages:
        _say(messages.retry(message_id, reason=reason, by=by), "pending", as_json=json)


@contextmanager
def _messages() -> Iterator[Messages]:
    from agentflow.cli.reaching import reading_client

    # What is sent again is found by the sweeper within seconds: no broker is needed for that.
    with reading_client() as client:
        yield client.messages


def _check_status(status: str | None) -> None:
    from agentflow.cli.complaints import WrongUse
    from agentflow.domain.delivery import DeliveryStatus

    if status is not None and status not in set(DeliveryStatus):
        raise WrongUse(f"--status={status!r} is no status; give one of {', '.join(DeliveryStatus)}")


def _say(before: Mapping[str, Any], status: str, *, as_json: bool) -> None:
    from agentflow.cli.output import console, print_json

    if as_json:
        print_json({"message_id": before["message_id"], "was": before["status"], "is": status})
        return
    was = before["status"].replace("_", " ")
    console().print(f"message {before['message_id']} of kind {before['kind']!r} was {was} and is {status} now")


def _print_table(found: Sequence[Mapping[str, Any]]) -> None:
    from datetime import UTC, datetime

    from rich.table import Table
    from rich.text import Text

    from agentflow.cli.figures import age
    from agentflow.cli.output import console

    now = datetime.now(UTC)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("message", "kind", "status", "queued"):
        table.add_column(name, no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    table.add_column("run", no_wrap=True, min_width=36)
    for row in found:
        status = Text(row["status"], style=_STYLES.get(row["status"], ""))
        short_id = str(row["message_id"])[:_SHORT_ID]
        why = _why(row, now)
        table.add_row(
            short_id, row["kind"], status, age(row["created_at"], now), str(row["attempt"]), why, str(row["run_id"])
        )
    console().print(table)


def _why(row: Mapping[str, Any], now: Any) -> str:
    from agentflow.cli.figures import between, one_line

    error = row["error"]
    if not error:
        return ""
    said = f"{error['kind']}: {one_line(error['message'])}"
    is_waiting = row["status"] == "pending" and row["next_attempt_at"] > now
    return f"{said}; again in {between(now, row['next_attempt_at'])}" if is_waiting else said
