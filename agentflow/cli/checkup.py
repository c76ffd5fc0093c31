"""The findings of `agentflow doctor`."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from agentflow.cli.configured import examine_alert_urls, examine_prices
from agentflow.cli.environment import import_from
from agentflow.cli.findings import Finding
from agentflow.cli.served import Served, served_here
from agentflow.domain.errors import AgentflowError
from agentflow.settings import Settings, settings
from agentflow.telemetry.redaction import without_passwords

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
_MEGABYTE = 1 << 20


def examine() -> list[Finding]:
    """Look at everything and return what was found; raises nothing."""
    findings = list(_python())
    try:
        configured = settings()
    except AgentflowError as error:
        return [*findings, Finding("fail", "settings", str(error), "mend the environment or .env")]
    findings.append(Finding("ok", "settings", "readable"))
    findings += _disk(configured)
    served, found = _agents(configured)
    findings += found
    if served is not None:
        findings += guarded("prices", lambda: list(examine_prices(served.registry, configured)))
    findings += guarded("alerts", lambda: list(examine_alert_urls(configured)))
    return findings + _reachable(configured, served)


def _python() -> Iterator[Finding]:
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fits = OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON
    yield Finding("ok", "python", version) if fits else Finding("fail", "python", version, "use Python 3.11 to 3.13")


def _disk(configured: Settings) -> Iterator[Finding]:
    folder = next(
        path for path in (configured.data_dir.absolute(), *configured.data_dir.absolute().parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free // _MEGABYTE
    says, mend = f"{free:,} MB free for {str(configured.data_dir)!r}", "make room, or set AGENTFLOW_DATA_DIR"
    if free < 100:
        yield Finding("fail", "disk", says, mend)
    else:
        yield Finding("ok", "disk", says) if free >= 1000 else Finding("warn", "disk", says, mend)


def _agents(configured: Settings) -> tuple[Served | None, list[Finding]]:
    if not configured.agent_modules:
        return None, [Finding("warn", "agents", "AGENTFLOW_AGENTS is not set", "workers need it; clients do not")]
    import_from(Path.cwd())
    try:
        served = served_here(configured)
    except AgentflowError as error:
        return None, [Finding("fail", "agents", str(error), "`agentflow agents check` says no more; mend it there")]
    names = ", ".join(sorted(served.registry.agents)) or "no agent"
    mend = "" if served.registry.agents else "declare an Agent at the top of one of its modules"
    return served, [Finding("warn" if mend else "ok", "agents", f"{configured.agents} declares {names}", mend)]


def _reachable(configured: Settings, served: Served | None) -> list[Finding]:
    from agentflow.cli.reachable import examine_database, examine_redis, examine_workers, running_services

    try:
        with running_services(configured) as (where, services):
            findings = [where]
            if services.database_url:
                database = guarded("database", lambda: list(examine_database(services.database_url, configured)))
                findings += database
                if all(finding.level != "fail" for finding in database):
                    findings += guarded(
                        "workers", lambda: list(examine_workers(services.database_url, configured, served))
                    )
            if services.redis_url:
                findings += guarded("redis", lambda: list(examine_redis(services.redis_url)))
            return findings
    except AgentflowError as error:
        return [Finding("fail", "services", str(error))]


def guarded(subject: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what `look` finds; what it raises is a finding too."""
    from redis.exceptions import RedisError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return look()
    except (AgentflowError, SQLAlchemyError, RedisError, OSError) as error:
        return [Finding("fail", subject, without_passwords(str(error).split("\n")[0]))]
