"""The worker's pager, where the settings name somebody to page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow.engine.pager import Pager
from agentflow.settings import Settings, settings
from agentflow.telemetry.paging import Service, open_services
from agentflow.telemetry.sentry import SentryService

if TYPE_CHECKING:
    from .process import Process


def open_pager(process: Process) -> Pager | None:
    """Return a pager that is not started yet; None where nobody is to be paged."""
    configured = settings()
    if configured.alert_urls is None and configured.sentry_dsn is None:
        return None
    return Pager(
        process.database("agentflow pager", pool=1),
        lambda: _services(configured),
        period_s=configured.alert_period_s,
        api_url=configured.api_url,
    )


def _services(configured: Settings) -> list[Service]:
    urls = configured.alert_urls
    services = open_services(urls.get_secret_value()) if urls is not None else []
    return [*services, SentryService()] if configured.sentry_dsn is not None else services
