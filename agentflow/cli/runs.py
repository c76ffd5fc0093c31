"""`agentflow runs`: what became of runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow.cli import operating

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentflow.store.reads import RunRecord

app = typer.Typer(help="What became of runs, and an operator's hand on them.", no_args_is_help=True)
for _verb in (
    operating.resolve,
    operating.cancel,
    operating.pause,
    operating.resume,
    operating.retry,
    operating.fork,
):
    app.command()(_verb)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list")
def list_runs(
    *,
    status: Annotated[str | None, typer.Option(help="Only runs of this status.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent.")] = None,
    user: Annotated[str | None, typer.Option(help="Only runs of this user.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only runs of this conversation.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client

    _check_status(status)
    with reading_client() as client:
        found = client.list(status=status, agent=agent, user=user, conversation=conversation, most=limit)
    if json:
        print_json(found)
    elif found:
        _print_table(found)
    else:
        console(errors=True).print("no runs", style="dim")


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The run's id.")],
    *,
    full: Annotated[bool, typer.Option("--full", help="Show every input, output and transition in full.")] = False,
    json: AsJson = False,
) -> None:
    """Show a run: each step with its attempts, time, tokens and cost, and how it ended."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client
    from agentflow.cli.timeline import Timeline

    _check_run_id(run_id)
    with reading_client() as client:
        run, steps, transitions = client.get(run_id), client.steps(run_id), client.transitions(run_id)
        interventions = client.interventions(run_id)
    if json:
        print_json({"run": run, "steps": steps, "transitions": transitions, "interventions": interventions})
    else:
        now = datetime.now(UTC)
        console().print(Timeline(run, steps, now, transitions, full=full, interventions=interventions))


def _print_table(found: Sequence[RunRecord]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agentflow.cli.figures import age, between, money
    from agentflow.cli.output import console
    from agentflow.cli.timeline import STYLES

    now, screen = datetime.now(UTC), console()
    wide = screen.width >= 100
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", no_wrap=True, min_width=36)
    table.add_column("agent", no_wrap=True, overflow="ellipsis")
    table.add_column("status", no_wrap=True)
    table.add_column("submitted", no_wrap=True)
    if wide:
        for name in ("took", "tokens", "cost"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("user", no_wrap=True, overflow="ellipsis")
    for run in found:
        figures = (between(run.started_at, run.finished_at), f"{run.tokens:,}", money(run.cost_usd), run.user_id or "")
        status = Text(run.status, style=STYLES.get(run.status, ""))
        table.add_row(run.run_id, run.agent, status, age(run.created_at, now), *(figures if wide else ()))
    screen.print(table)


def _check_status(status: str | None) -> None:
    from agentflow.cli.complaints import WrongUse
    from agentflow.domain.run import RunStatus

    if status is not None and status not in set(RunStatus):
        raise WrongUse(f"--status={status!r} is no status; give one of {', '.join(RunStatus)}")


def _check_run_id(text: str) -> None:
    from uuid import UUID

    from agentflow.cli.complaints import WrongUse

    try:
        UUID(text)
    except ValueError:
        raise WrongUse(f"{text!r} is no run id; `agentflow runs list` shows them") from None
