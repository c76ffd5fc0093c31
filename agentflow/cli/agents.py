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
def check(
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Say what the declarations leave open; exit 1 then.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Load what AGENTFLOW_AGENTS names and say of each tool how it will be run; exit 1 where something is wrong."""
    from agentflow.cli.checklist import open_in, print_declared, unserved_in
    from agentflow.cli.output import print_json

    declared = _declared_here(json=json)
    agents = declared["agents"]
    is_wrong = bool(unserved_in(agents)) or (strict and bool(open_in(agents)))
    if json:
        print_json({"ok": not is_wrong, **declared})
    else:
        print_declared(agents, strict=strict)
    if is_wrong:
        raise typer.Exit(1)


def _declared_here(*, json: bool) -> Mapping[str, Any]:
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
        return served_here(configured).described()
    except (DeclarationError, ConfigError) as error:
        if json:
            print_json({"ok": False, "error": str(error)})
        complain(error)
        raise typer.Exit(1) from None


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
