"""The database and the broker that this process works with: the ones that the settings name, else the embedded ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from agentflow.settings import Settings, postgres_url


@dataclass(frozen=True, slots=True)
class Services:
    """Where Postgres and Redis are. URLs hold passwords: they go into no log."""

    database_url: str
    redis_url: str
    embedded: bool


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[Services]:
    """Yield the services, and start the embedded ones that no setting names, for as long as they are needed here."""
    database_url = settings.database_url.get_secret_value() if settings.database_url else None
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    if database_url and redis_url:
        yield Services(database_url, redis_url, embedded=False)
        return
    # With both URLs set, nothing embedded is even imported.
    from agentflow.local import attach

    with attach(settings.data_dir, postgres=database_url is None, valkey=redis_url is None) as local:
        yield Services(database_url or postgres_url(local.database_url), redis_url or local.redis_url, embedded=True)
