"""`agentflow doctor`: is everything as a worker or a client needs it, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(*, json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """Look at settings, database, Redis, workers and agents; exit 1 where something does not work."""
    from agentflow.cli.checkup import examine
    from agentflow.cli.output import console, print_json
    from agentflow.telemetry.logs import configure_logging

    # What is found is said here; a library's lines would break the JSON.
    configure_logging("CRITICAL")
    findings = examine()
    failed = any(finding.level == "fail" for finding in findings)
    if json:
        print_json({"ok": not failed, "findings": findings})
        raise typer.Exit(int(failed))
    from rich.table import Table
    from rich.text import Text

    from agentflow.cli.figures import printable

    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        says = Text(printable(finding.says))
        if finding.mend:
            says.append(f"; {printable(finding.mend)}", style="bold")
        table.add_row(Text(finding.level, style=_STYLES[finding.level]), finding.subject, says)
    console().print(table)
    raise typer.Exit(int(failed))
