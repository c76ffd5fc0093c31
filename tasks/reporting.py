"""Sentry in Celery's processes: workers, each child of a pool, beat. It starts where a DSN is set, nowhere else."""

from __future__ import annotations

from typing import Any

from celery import signals

from agentflow.settings import settings


@signals.celeryd_init.connect
@signals.worker_process_init.connect
@signals.beat_init.connect
def report(**_: Any) -> None:
    """Report from this process; a child anew, since what came over the fork may be locked for ever."""
    dsn = settings().sentry_dsn
    if dsn is not None:
        from agentflow.telemetry.sentry import start_reporting

        start_reporting(dsn.get_secret_value())


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def flush(**_: Any) -> None:
    """Let what was reported go out before the process ends."""
    if settings().sentry_dsn is not None:
        from agentflow.telemetry.sentry import flush_reports

        flush_reports()
