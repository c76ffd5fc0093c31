"""`agentflow beat` and `agentflow flower`: the schedule, and the window on the workers."""

from __future__ import annotations

import os

from agentflow.cli.worker import LogLevel


def beat(*, log_level: LogLevel = "info") -> None:
    """Run the schedule, once for a whole fleet: it sends what is due to the workers."""
    import typer

    from agentflow.cli.celery_programs import run_beat
    from agentflow.cli.logging import log_from_here
    from agentflow.settings import settings

    level = log_from_here(log_level)
    folder = settings().data_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    raise typer.Exit(run_beat(folder / "beat-schedule", level))


def flower(*, log_level: LogLevel = "info") -> None:
    """Run Flower, behind the password of AGENTFLOW_FLOWER_AUTH (user:password), on AGENTFLOW_FLOWER_PORT or 5555."""
    import typer

    from agentflow import layout
    from agentflow.cli.celery_programs import run_flower
    from agentflow.cli.logging import log_from_here

    level = log_from_here(log_level)
    configuration = layout.path("config/flower.py")
    _refuse_taken_port()
    raise typer.Exit(run_flower(configuration, level))


def _refuse_taken_port() -> None:
    from agentflow.domain.errors import ConfigError
    from agentflow.ports import is_free

    port = os.environ.get("AGENTFLOW_FLOWER_PORT") or "5555"
    if port.isdecimal() and not is_free(int(port)):
        raise ConfigError(f"port {port} is in use: set AGENTFLOW_FLOWER_PORT to another one")
