"""Errors on the command line: one clear line on stderr, and the exit code that goes with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from agentflow.domain.errors import (
    AgentflowError,
    ConfigError,
    DatabaseUnavailable,
    DeclarationError,
    SchemaOutdated,
    SubmissionRefused,
    WaitTimeout,
)

OK, FAILED, WRONG_USE, NOT_FINISHED = 0, 1, 2, 3


class WrongUse(AgentflowError):
    """The command was called in a way that cannot work."""


class NotFinished(AgentflowError):
    """The run is not finished: it goes on, or waits for a person."""


# The first that fits counts.
_EXIT_CODES: Sequence[tuple[type[AgentflowError], int]] = (
    (NotFinished, NOT_FINISHED),
    (WaitTimeout, NOT_FINISHED),
    (DatabaseUnavailable, FAILED),
    (SchemaOutdated, FAILED),
    (WrongUse, WRONG_USE),
    (ConfigError, WRONG_USE),
    (DeclarationError, WRONG_USE),
    (SubmissionRefused, WRONG_USE),
)
_UNMIGRATED = {"3F000", "42P01", "42703", "42883"}


def complain(error: AgentflowError) -> int:
    """Write the error's line and return its exit code."""
    from agentflow.cli.figures import printable
    from agentflow.telemetry.redaction import without_passwords

    print(f"agentflow: {printable(without_passwords(str(error)))}", file=sys.stderr)
    return exit_code(error)


def exit_code(error: AgentflowError) -> int:
    """Return the exit code of an error."""
    if "agentflow.local.errors" in sys.modules:
        from agentflow.local.errors import ServerFailed

        if isinstance(error, ServerFailed):
            return FAILED
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def from_driver(error: Exception) -> AgentflowError | None:
    """Return what an error of the database's driver means here; None for any other error."""
    if "sqlalchemy.exc" not in sys.modules:
        return None
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    if not isinstance(error, DBAPIError):
        return None
    line = str(error.orig).strip().split("\n")[0]
    if getattr(error.orig, "pgcode", None) in _UNMIGRATED:
        return SchemaOutdated(f"the database is not as this agentflow expects ({line}): run `agentflow db upgrade`")
    if isinstance(error, OperationalError | InterfaceError):
        return DatabaseUnavailable(f"the database does not answer: {line}; check AGENTFLOW_DATABASE_URL")
    return DatabaseUnavailable(f"the database refuses: {line}")
