"""`agentflow agents`: what workers have registered, and whether one's own declarations can be served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

app = typer.Typer(help="The agents: registered, and declared here.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list")
def list_agents(*, json: AsJson = False) -> None:
    """List the agents that workers have registered, with the pools that serve them now."""
    from agentflow.cli.output import console, print_json
    from agentflow.cli.reaching import reading_client
    from agentflow.cli.registered import registered_agents

    with reading_client() as client:
        found = registered_agents(client)
    if json:
        print_json(found)
    elif found:
        _print_registered(found)
    else:
        console(errors=True).print("no worker has registered an agent yet: start `agentflow dev`, or a worker")


@app.command()
def check(*, json: AsJson = False) -> None:
    """Load what AGENTFLOW_AGENTS names and say of each tool how it will be run; exit 1 where something is wrong."""
    from agentflow.cli.complaints import WrongUse, complain
    from agentflow.cli.environment import import_from
    from agentflow.cli.output import print_json
    from agentflow.cli.served import served_here
    from agentflow.domain.errors import ConfigError, DeclarationError
    from agentflow.settings import settings

    configured = settings()
    if not configured.agent_modules:
        raise WrongUse("AGENTFLOW_AGENTS is not set: name the modules that declare your agents, in .env say")
    import_from(Path.cwd())
    try:
        declared = served_here(configured).described()
    except (DeclarationError, ConfigError) as error:
        if json:
            print_json({"ok": False, "error": str(error)})
        complain(error)
        raise typer.Exit(1) from None
    if json:
        print_json({"ok": True, **declared})
    else:
        _print_declared(declared)


def _print_registered(found: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    from agentflow.cli.output import console

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("agent", "version", "kind", "served by", "tools"):
        table.add_column(name, overflow="fold")
    for agent in found:
        served = ", ".join(agent["served_by"]) or "nobody"
        table.add_row(agent["name"], agent["version"], agent["kind"], served, ", ".join(agent["tools"]))
    console().print(table)


def _print_declared(declared: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agentflow.cli.output import console

    screen = console()
    for agent in declared["agents"]:
        line = Text.assemble((agent["name"], "bold"), f"  {agent['kind']} {agent['version']}")
        screen.print(line, Text(agent["place"], style="dim"), sep="  ", soft_wrap=True)
        table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
        for name in ("tool", "effect", "timeout", "pool", "key"):
            table.add_column(name, overflow="fold")
        for tool in agent["tools"]:
            pool = tool["pool"] or "none"
            # The queue is worth a word only where it is not the tool's own.
            served = pool if tool["queue"] == f"tool.{tool['name']}" else f"{pool}, by {tool['queue']}"
            table.add_row(tool["name"], tool["effect"], f"{tool['timeout_s']:g} s", served, tool["key"] or "")
        screen.print(table)
    screen.print("everything can be served", style="green")
