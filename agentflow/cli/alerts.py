"""`agentflow alerts`: what a person had to see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_AGE = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def alerts(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those since then: 30m, 12h, 7d, or 2026-12-24T18:00+01:00.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List what a person had to see, the newest first: when, how often, why, in which run."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client

    start = None if since is None else moment_of(since, datetime.now(UTC))
    with reading_client() as client:
        found = client.alerts(since=start, most=limit)
    if json:
        print_json(found)
    elif found:
        _print_table(found)
    else:
        console(errors=True).print("no alerts", style="dim")


def moment_of(text: str, now: datetime) -> datetime:
    """Return the moment that a text names, by its age or its date; raise WrongUse."""
    from agentflow.cli.complaints import WrongUse

    try:
        if aged := _AGE.fullmatch(text):
            return now - timedelta(seconds=int(aged["count"]) * _SECONDS[aged["unit"]])
        # A time without a zone is one of this machine's.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise WrongUse(f"--since={text!r} is no time: give 30m, 12h, 7d, or 2026-12-24T18:00+01:00") from None


def _print_table(found: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    from agentflow.cli.figures import age, one_line
    from agentflow.cli.output import console

    now = datetime.now(UTC)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("when", no_wrap=True)
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("topic", overflow="fold")
    table.add_column("message", overflow="fold", ratio=1)
    table.add_column("run", no_wrap=True, min_width=36)
    for alert in found:
        run_id = str(alert["run_id"] or "")
        topic = one_line(alert["topic"] or alert["cause"])
        if run_id:
            topic = topic.replace(f":{run_id}", "")
        table.add_row(age(alert["last_at"], now), str(alert["count"]), topic, one_line(alert["message"]), run_id)
    console().print(table)
