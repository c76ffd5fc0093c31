"""`agentflow dev`: everything on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def dev(
    *,
    port_flower: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Flower's port; 5555 or a free one if not given.")
    ] = None,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Start no Flower.")] = False,
    no_reload: Annotated[bool, typer.Option("--no-reload", help="Keep the workers when a file is edited.")] = False,
) -> None:
    """Run everything on this machine: Postgres, Valkey, workers, Flower. Reloads on edit, ends with Ctrl-C."""
    from agentflow.cli.dev.running import run_stack
    from agentflow.cli.dev.wishes import Wishes

    raise typer.Exit(run_stack(Wishes(flower_port=port_flower, flower=not no_flower, reload=not no_reload)))
