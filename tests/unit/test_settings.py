from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.domain.errors import ConfigError
from agentflow.settings import Settings, postgres_url, settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AGENTFLOW_{name.upper()}", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def secret(value: object) -> str:
    return value.get_secret_value()  # type: ignore[attr-defined, no-any-return]


def test_without_an_environment_the_embedded_servers_are_meant() -> None:
    found = settings()

    assert (found.database_url, found.redis_url, found.db_schema) == (None, None, "agentflow")
    assert (found.data_dir, found.max_input_bytes, found.agent_modules) == (Path(".agentflow"), 1_000_000, ())


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "FLOWER_AUTH", "POOLS"):
        monkeypatch.setenv(f"AGENTFLOW_{name}", "")

    assert settings() == Settings()
    assert settings().database_url is None


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("AGENTFLOW_DB_SCHEMA", "other")

    assert settings() is before


def test_agents_are_modules_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_AGENTS", " shop.refunds, shop.reports ,")

    assert settings().agent_modules == ("shop.refunds", "shop.reports")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_usual_postgres_url_is_taken(scheme: str) -> None:
    assert (
        postgres_url(f"{scheme}://u:p@h:5432/d?sslmode=require") == "postgresql+psycopg2://u:p@h:5432/d?sslmode=require"
    )


def test_a_postgres_url_with_a_socket_folder_is_taken() -> None:
    assert postgres_url("postgresql://u@/d?host=/run/pg") == "postgresql+psycopg2://u@/d?host=/run/pg"


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("DATABASE_URL", "mysql://h/d", "write it as postgresql://user:password@host:port/database"),
        ("DATABASE_URL", "h:5432", "write it as postgresql://"),
        ("DATABASE_URL", "postgresql://h:0/d", "its port is 0"),
        ("DATABASE_URL", "postgresql://h:x/d", "its port is no number"),
        ("DATABASE_URL", "postgresql://h:99999/d", "its port is no number"),
        ("REDIS_URL", "valkey://h", r"write it as redis://\[:password@\]host:port/number"),
        ("DB_SCHEMA", 'a"; drop table b', "String should match pattern"),
        ("MAX_INPUT_BYTES", "0", "greater than 0"),
        ("MAX_INPUT_BYTES", "many", "valid integer"),
        ("CONTINUE_STEPS", "0", "greater than or equal to 1"),
        ("CONTINUE_S", "0", "greater than 0"),
        ("CONTINUE_S", "inf", "finite"),
        ("PRICES", "[]", "write it as "),
        ("PRICES", "{", "Expecting property name"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, mend: str
) -> None:
    monkeypatch.setenv(f"AGENTFLOW_{name}", value)

    with pytest.raises(ConfigError, match=f"AGENTFLOW_{name}: .*{mend}"):
        settings()


def test_every_variable_that_cannot_be_used_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_DB_SCHEMA", "A B")
    monkeypatch.setenv("AGENTFLOW_REDIS_URL", "http://h")

    with pytest.raises(ConfigError, match=r"AGENTFLOW_REDIS_URL: .*; AGENTFLOW_DB_SCHEMA: "):
        settings()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h/d",
        "mysql://u:s3cret@h/d",
        "postgresql://u:x@y:s3cret/z@h/d",
        "postgresql://u:s3cret@h:x/d",
    ],
)
def test_no_password_is_ever_printed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AGENTFLOW_DATABASE_URL", url)

    try:
        said = repr(settings()) + str(settings())
    except ConfigError as error:
        said = f"{error} {error!r}"

    assert "s3cret" not in said


def test_a_password_is_kept_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_DATABASE_URL", "postgres://u:p%40ss@h/d")

    assert secret(settings().database_url) == "postgresql+psycopg2://u:p%40ss@h/d"


def test_prices_of_ones_own_are_read_by_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_PRICES", '{"openai:mine": {"input_mtok": 1}}')

    assert settings().price_table == {"openai:mine": {"input_mtok": 1}}
