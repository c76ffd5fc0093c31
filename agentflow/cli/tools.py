"""`agentflow tools`: the tools of the registered agents."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="The tools of registered agents.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `list` a command of its own while it is the only one."""


@app.command("list")
def list_tools(*, json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """List the tools, each with its effect, its limits and the pools that serve it now."""
    from rich.table import Table

    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client
    from agentflow.cli.registered import registered_tools

    with reading_client() as client:
        found = registered_tools(client)
    if json:
        print_json(found)
        return
    if not found:
        console(errors=True).print("no worker has registered a tool yet: start `agentflow dev`, or a worker")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("tool", "effect", "timeout", "queue", "served by", "agents"):
        table.add_column(name, overflow="fold")
    for tool in found:
        served, agents = ", ".join(tool["served_by"]) or "nobody", ", ".join(tool["agents"])
        table.add_row(tool["name"], tool["effect"], f"{tool['timeout_s']:g} s", tool["queue"], served, agents)
    console().print(table)
