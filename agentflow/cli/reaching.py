"""The way of a command to the database: through a client, with a broker or without, and never by making a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentflow.domain.errors import ConfigError

if TYPE_CHECKING:
    from agentflow.client import Client
    from agentflow.domain.hint import Hint
    from agentflow.settings import Settings


class Unhinted:
    """For commands that only read: they need no broker."""

    def publish(self, hints: Sequence[Hint]) -> bool:
        """Publish nothing, and say so."""
        return not hints


@contextmanager
def reading_client() -> Iterator[Client]:
    """Yield a client that reads."""
    from agentflow.client import Client
    from agentflow.settings import settings

    configured = settings()
    refuse_unborn(configured)
    with database_url(configured) as url, Client(database_url=url, hints=Unhinted()) as client:
        yield client


@contextmanager
def operating_client() -> Iterator[Client]:
    """Yield a client that reaches the fleet's gate too, as far as Redis answers."""
    from agentflow.client import Client
    from agentflow.services import connected
    from agentflow.settings import settings
    from agentflow.telemetry.logs import configure_logging

    configured = settings()
    refuse_unborn(configured)
    # A gate that does not answer is said by the command itself.
    configure_logging("CRITICAL")
    with (
        connected(configured) as services,
        Client(database_url=services.database_url, redis_url=services.redis_url, hints=Unhinted()) as client,
    ):
        yield client


@contextmanager
def submitting_client() -> Iterator[Client]:
    """Yield a client that submits."""
    from agentflow.client import Client
    from agentflow.settings import settings
    from agentflow.telemetry.logs import configure_logging

    refuse_unborn(settings())
    # That the broker is out of reach is worth a line, but not among what a script reads.
    configure_logging("WARNING")
    with Client() as client:
        yield client


def refuse_unborn(configured: Settings) -> None:
    """Raise ConfigError where there is no database: to read, nobody means to make one in this folder."""
    if configured.database_url is not None:
        return
    from agentflow.local.folder import ServerFolder

    if not ServerFolder.of(configured.data_dir, "postgres").cluster.exists():
        raise ConfigError(
            f"there is no database in {str(configured.data_dir)!r}, and AGENTFLOW_DATABASE_URL is not set: "
            "start `agentflow dev` in this folder, or set it"
        )


@contextmanager
def database_url(configured: Settings) -> Iterator[str]:
    """Yield the database's URL, and start the embedded one, alone, where none is named."""
    if configured.database_url is not None:
        yield configured.database_url.get_secret_value()
        return
    from agentflow.local import attach

    with attach(configured.data_dir, valkey=False) as local:
        yield local.database_url
