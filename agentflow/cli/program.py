"""The program: every command by its name, and what holds for all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agentflow.cli import (
    agents,
    alerts,
    approvals,
    database,
    dev_command,
    doctor,
    outbox,
    project,
    runs,
    services,
    submitting,
    tools,
    worker,
)
from agentflow.cli.complaints import complain, from_driver
from agentflow.cli.environment import read_dotenv
from agentflow.domain.errors import AgentflowError

_EPILOG = "Exit codes: 0 ok, 1 the thing failed, 2 wrong use, 3 not finished yet."

app = typer.Typer(
    name="agentflow",
    help="Durable AI agents: submit runs, serve them, see what became of them.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(project.init)
app.command("dev")(dev_command.dev)
app.command("submit")(submitting.submit)
app.add_typer(runs.app, name="runs")
app.add_typer(agents.app, name="agents")
app.add_typer(tools.app, name="tools")
app.add_typer(approvals.app, name="approvals")
app.add_typer(outbox.app, name="outbox")
app.command("alerts")(alerts.alerts)
app.command("worker")(worker.worker)
app.command("beat")(services.beat)
app.command("flower")(services.flower)
app.add_typer(database.app, name="db")
app.command("doctor")(doctor.doctor)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"agentflow {version('agentflow')}")
        except PackageNotFoundError:
            print("agentflow, not installed: run from its sources")
        raise typer.Exit


@app.callback()
def prepare(
    *,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take over the folder's `.env` before any command reads a setting."""
    read_dotenv(Path.cwd())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character shows its escape: no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="agentflow")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except AgentflowError as error:
        return complain(error)
    except Exception as error:
        known = from_driver(error)
        if known is None:
            raise
        return complain(known)
    return 0
