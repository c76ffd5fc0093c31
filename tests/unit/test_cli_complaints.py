"""What an error becomes on the command line."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from agentflow.cli.complaints import NotFinished, WrongUse, complain, exit_code, from_driver
from agentflow.domain.errors import (
    AgentflowError,
    ConfigError,
    DatabaseUnavailable,
    DeclarationError,
    InputTooLarge,
    RunNotFound,
    SchemaOutdated,
    UnknownAgent,
    WaitTimeout,
)
from agentflow.local import ServerFailed


class DriverError(Exception):
    def __init__(self, message: str, pgcode: str | None = None) -> None:
        super().__init__(message)
        self.pgcode = pgcode


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongUse(), 2),
        (ConfigError(), 2),
        (DeclarationError(), 2),
        (UnknownAgent(), 2),
        (InputTooLarge(), 2),
        (DatabaseUnavailable(), 1),
        (SchemaOutdated(), 1),
        (ServerFailed(), 1),
        (RunNotFound(), 1),
        (AgentflowError(), 1),
        (NotFinished(), 3),
        (WaitTimeout(), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_exit_code_tells_wrong_use_from_failure_from_not_yet(error: AgentflowError, code: int) -> None:
    assert exit_code(error) == code


def test_complaint_is_one_line_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(ConfigError("postgresql://me:secret@db/app is \x1b[31mbad")) == 2
    assert capsys.readouterr().err == "agentflow: postgresql://me:***@db/app is \\x1b[31mbad\n"


def test_missing_table_asks_for_the_upgrade() -> None:
    driver = ProgrammingError("select", {}, DriverError('relation "agent_runs" does not exist\nLINE 1', "42P01"))
    known = from_driver(driver)
    assert isinstance(known, SchemaOutdated)
    assert "run `agentflow db upgrade`" in str(known)


def test_lost_connection_is_the_database_that_does_not_answer() -> None:
    known = from_driver(OperationalError("select", {}, DriverError("server closed the connection\nmore")))
    assert isinstance(known, DatabaseUnavailable)
    assert "server closed the connection; check AGENTFLOW_DATABASE_URL" in str(known)


def test_error_of_ours_is_not_the_drivers() -> None:
    assert from_driver(KeyError("a bug")) is None
