"""`agentflow tools`: the tools and models of the registered agents, how they stand, and an operator's hand on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentflow.client import Resumed

app = typer.Typer(help="The tools and models of registered agents.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TOOL", help="A tool, or a model as it is declared: openai:gpt-4o-mini.")]
_WIDE = 140


@app.command("list")
def list_tools(*, json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """List tools and models: effect, limits, who serves them, and whether their calls are let through now."""
    from agentflow.cli.bulkheads import bulkheads
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import operating_client

    with operating_client() as client:
        found, trouble = bulkheads(client)
    if json:
        print_json(found)
    elif found:
        _print_table(found)
    else:
        console(errors=True).print("no worker has registered a tool yet: start `agentflow dev`, or a worker")
    if trouble:
        _say_trouble(f"breakers and slots are not shown: {trouble}")


@app.command()
def pause(
    tool: Name,
    *,
    reason: Annotated[str, typer.Option(help="Why; whoever looks at the tool sees it.")],
    by: Annotated[str | None, typer.Option(help="Who says so; else this machine's user.")] = None,
) -> None:
    """Let no more calls of a tool or a model begin; their steps wait until it is resumed."""
    from agentflow.cli.output import console
    from agentflow.cli.reaching import reading_client

    with reading_client() as client:
        client.tools.pause(tool, reason=reason, by=by)
    said = f"{tool!r} is paused: calls that have begun go on, others wait until `agentflow tools resume {tool}`"
    console().print(said, soft_wrap=True)


@app.command()
def resume(tool: Name) -> None:
    """Let calls of a tool or a model begin again, and close its breaker."""
    from agentflow.cli.output import console
    from agentflow.cli.reaching import operating_client

    with operating_client() as client:
        resumed = client.tools.resume(tool)
    if said := _resumed(tool, resumed):
        console().print(said, soft_wrap=True)
    if resumed.breaker is None:
        _say_trouble(f"Redis does not answer, so the breaker of {tool!r} stays as it is: resume it again once it does")
        raise typer.Exit(1)


def _resumed(tool: str, resumed: Resumed) -> str:
    from agentflow.cli.figures import one_line

    parts = [f"{tool!r} goes on"] if resumed.was_paused else []
    if resumed.breaker in {"open", "half_open"}:
        why = f" ({one_line(resumed.breaker_reason)})" if resumed.breaker_reason else ""
        parts.append(f"the breaker of {tool!r} was {resumed.breaker.replace('_', ' ')}{why} and is closed now")
    if not parts and resumed.breaker == "closed":
        return f"{tool!r} is not paused and its breaker is closed: there is nothing to resume"
    return "; ".join(parts)


def _print_table(found: Sequence[Mapping[str, Any]]) -> None:
    from datetime import UTC, datetime

    from rich.table import Table
    from rich.text import Text

    from agentflow.cli.bulkheads import hold_line, slots_of, state_of
    from agentflow.cli.output import console

    screen, now = console(), datetime.now(UTC)
    wide = screen.width >= _WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("tool", "effect", "timeout", "queue", "served by", *(("agents",) if wide else ())):
        table.add_column(name, overflow="fold")
    table.add_column("state", overflow="fold", ratio=1)
    table.add_column("slots", justify="right", no_wrap=True)
    table.add_column("waiting", justify="right", no_wrap=True)
    for row in found:
        state = state_of(row)
        table.add_row(*_declared(row, wide=wide), Text(state, _style(state)), slots_of(row), f"{row['waiting']:,}")
    screen.print(table)
    for row in found:
        if row["held"]:
            screen.print(Text(hold_line(row, now), style="yellow"), soft_wrap=True)


def _declared(row: Mapping[str, Any], *, wide: bool) -> list[str]:
    agents = [", ".join(row["agents"])] if wide else []
    if row["kind"] == "gone":
        return [row["name"], "", "", "", "not registered", *agents]
    effect = "model" if row["kind"] == "model" else row["effect"]
    served = ", ".join(row["served_by"]) or "nobody"
    return [row["name"], effect, f"{row['timeout_s']:g} s", row["queue"], served, *agents]


def _style(state: str) -> str:
    return "green" if state == "ok" else "dim" if state == "breaker unknown" else "bold yellow"


def _say_trouble(said: str) -> None:
    import sys

    from agentflow.cli.figures import printable
    from agentflow.telemetry.redaction import without_passwords

    print(f"agentflow: {printable(without_passwords(said))}", file=sys.stderr)
