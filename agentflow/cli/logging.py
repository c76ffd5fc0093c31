"""How a long-running command logs."""

from __future__ import annotations

from agentflow.cli.complaints import WrongUse

_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


def log_from_here(level: str) -> str:
    """Configure this process's logs as the environment says, and return the level's name; raise WrongUse for none."""
    from agentflow.settings import settings
    from agentflow.telemetry.logs import configure_logging

    if level.upper() not in _LEVELS:
        raise WrongUse(f"--log-level={level!r} is no level; give debug, info, warning or error")
    form = settings().log_format
    configure_logging(level.upper(), json=None if form is None else form == "json")
    return level.upper()
