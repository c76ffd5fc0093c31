"""Flower's options: always behind a password, on loopback and read-only unless the environment says otherwise.

Flower runs this file (`celery flower --conf=...`) and takes every global that is named like one of its options; they
win over its own `FLOWER_*` variables. The environment:

    AGENTFLOW_FLOWER_AUTH        user:password, several separated by commas; required
    AGENTFLOW_FLOWER_ADDRESS     where it listens, 127.0.0.1 by default
    AGENTFLOW_FLOWER_PORT        5555 by default
    AGENTFLOW_FLOWER_READ_ONLY   `false` opens the buttons and calls that stop workers, revoke tasks and send new ones
"""

# Without postponed annotations: this file is run, not imported, so pydantic has no module to look names up in.
from flower.urls import handlers
from flower.views.monitor import Metrics
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from tornado.web import authenticated

from agentflow.domain.errors import ConfigError


class Access(BaseSettings):
    """Who reaches Flower, where, and what they may do there."""

    model_config = SettingsConfigDict(
        env_prefix="AGENTFLOW_FLOWER_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    auth: SecretStr
    address: str = "127.0.0.1"
    port: int = Field(5555, ge=1, le=65535)
    read_only: bool = True

    @field_validator("auth")
    @classmethod
    def _can_log_in(cls, value: SecretStr) -> SecretStr:
        # Flower compares as text, which fails beyond ASCII.
        if not value.get_secret_value().isascii() or not all(all(pair) for pair in split_credentials(value)):
            raise ValueError("write it as user:password, in ASCII, several separated by commas")
        return value


def split_credentials(auth: SecretStr) -> list[tuple[str, str]]:
    """User and password of every entry; one that is missing is empty."""
    entries = [entry.strip().partition(":") for entry in auth.get_secret_value().split(",")]
    return [(user, password) for user, _, password in entries]


def read_access() -> Access:
    """Access as the environment says; raise ConfigError naming each variable that is missing or cannot be used."""
    try:
        return Access()
    except ValidationError as error:
        lines = [f"AGENTFLOW_FLOWER_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        raise ConfigError(f"Flower does not start: {'; '.join(lines)}. Set AGENTFLOW_FLOWER_* as named.") from None


class GuardedMetrics(Metrics):  # type: ignore[misc]  # Flower publishes no types
    """Flower's metrics behind the same password: its own handler is open, and names every task and worker."""

    @authenticated
    async def get(self) -> None:
        """Answer with the metrics."""
        await super().get()


handlers.insert(0, (r"/metrics", GuardedMetrics))

_access = read_access()
basic_auth = [f"{user}:{password}" for user, password in split_credentials(_access.auth)]
address = _access.address
port = _access.port
read_only = _access.read_only

# Postgres is the truth and outlives Flower; what Flower remembers may be lost, and must stay small.
persistent = False
max_tasks = 10_000
max_workers = 500
purge_offline_workers = 3600

natural_time = True
# The arguments are ids alone: they lead to `agentflow runs show`.
tasks_columns = "name,uuid,state,kwargs,received,started,runtime,worker,retries,exception"
