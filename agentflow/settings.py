"""The settings: the environment, read once, and the services it names."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentflow.domain.errors import ConfigError
from agentflow.outbox.mail_server import MailServer
from agentflow.outbox.signing import Signer
from agentflow.policy.addresses import PrivateReach

MAX_INPUT_BYTES = 1_000_000


class Settings(BaseSettings):
    """What the environment says, prefix `AGENTFLOW_`. Unset database and Redis URLs mean the embedded servers."""

    model_config = SettingsConfigDict(
        env_prefix="AGENTFLOW_", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    drain_s: float = Field(80.0, gt=0, allow_inf_nan=False)
    prepare_statements: bool = True
    continue_steps: int = Field(100, ge=1)
    continue_s: float = Field(20.0, gt=0, allow_inf_nan=False)
    db_schema: str = Field("agentflow", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    agents: str = ""
    pools: Path | None = None
    data_dir: Path = Path(".agentflow")
    tenant: str = "default"
    llm_base_url: str | None = None
    prices: str | None = None
    flower_auth: SecretStr | None = None
    max_input_bytes: int = Field(MAX_INPUT_BYTES, gt=0)
    log_format: Literal["json", "console"] | None = None
    alert_urls: SecretStr | None = None
    alert_period_s: float = Field(3600.0, gt=0, allow_inf_nan=False)
    api_url: str | None = None
    smtp_url: SecretStr | None = None
    email_on_doubt: Literal["ask", "resend"] = "ask"
    webhook_secret: SecretStr | None = None
    webhook_private: str = ""
    sentry_dsn: SecretStr | None = Field(None, validation_alias=AliasChoices("AGENTFLOW_SENTRY_DSN", "SENTRY_DSN"))

    @field_validator(
        "database_url", "redis_url", "llm_base_url", "flower_auth", "pools", "log_format", "alert_urls", "api_url",
        "sentry_dsn", "smtp_url", "webhook_secret", mode="before",
    )  # fmt: skip
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(postgres_url(value.get_secret_value()))

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "redis+socket"}:
            raise ValueError("write it as redis://[:password@]host:port/number")
        return value

    @field_validator("prices")
    @classmethod
    def _is_json(cls, value: str | None) -> str | None:
        if value and not isinstance(json.loads(value), dict):
            raise ValueError('write it as {"model": {"input_mtok": usd, "output_mtok": usd}}')
        return value

    @field_validator("alert_urls")
    @classmethod
    def _are_services(cls, value: SecretStr | None) -> SecretStr | None:
        if value and "://" not in value.get_secret_value():
            raise ValueError("write apprise's URLs with commas between: slack://..., mailto://...")
        return value

    @field_validator("api_url")
    @classmethod
    def _is_a_site(cls, value: str | None) -> str | None:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).netloc):
            raise ValueError("write it as https://host[:port]")
        return value and value.rstrip("/")

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            MailServer.read(value.get_secret_value())
        return value

    @field_validator("email_on_doubt", mode="before")
    @classmethod
    def _asks_by_default(cls, value: object) -> object:
        return value or "ask"

    @field_validator("webhook_secret")
    @classmethod
    def _are_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            Signer.read(value.get_secret_value())
        return value

    @field_validator("webhook_private")
    @classmethod
    def _are_networks_or_hosts(cls, value: str) -> str:
        PrivateReach.read(value)
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and not (parts.scheme in {"http", "https"} and parts.username and parts.path.strip("/")):
            raise ValueError("write it as https://key@host/project")
        return value

    @property
    def agent_modules(self) -> tuple[str, ...]:
        """The modules that declare agents."""
        return tuple(name.strip() for name in self.agents.split(",") if name.strip())

    @property
    def price_table(self) -> dict[str, Any] | None:
        """Prices of one's own, by model: USD per million tokens."""
        return json.loads(self.prices) if self.prices else None


def postgres_url(url: str) -> str:
    """Return a Postgres URL in the form SQLAlchemy takes; raise ValueError for anything else."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in {"postgres", "postgresql", "postgresql+psycopg2"} or not rest.strip("/"):
        raise ValueError("write it as postgresql://user:password@host:port/database")
    try:
        port = urlsplit(url).port
    except ValueError:
        # What stands in the port's place may be the rest of a password.
        raise ValueError("its port is no number; write special characters of a password as %xx") from None
    if port == 0:
        raise ValueError("its port is 0")
    return f"postgresql+psycopg2://{rest}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process; raise ConfigError naming each variable that cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_input=False):
            name = "AGENTFLOW_" + str(each["loc"][0] if each["loc"] else "?").upper().removeprefix("AGENTFLOW_")
            lines.append(f"{name}: {each['msg'].removeprefix('Value error, ')}")
        raise ConfigError("; ".join(lines)) from error
