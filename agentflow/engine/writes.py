"""What a transactional tool writes in the recording transaction: kept whole, or taken back whole."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from agentflow.domain.errors import AgentflowError, DatabaseUnavailable
from agentflow.domain.outcome import AttemptOutcome, Completed, Failed
from agentflow.store.database import Transaction, is_passing


class EndedByTool(AgentflowError):
    """A transactional tool may not commit or roll back: the engine does; for a part, use connection.begin_nested()."""


def call_and_write(tx: Transaction, call: Callable[[], AttemptOutcome]) -> AttemptOutcome:
    """Call a tool that writes through the transaction's connection; keep what it wrote only if it completed.

    Raise EndedByTool where it tried to end the transaction, which is then lost with all that was in it.
    """
    connection = tx.connection
    whole, savepoint = connection.get_transaction(), connection.begin_nested()
    for ending in ("commit", "rollback"):
        event.listen(connection, ending, _refuse)
    try:
        outcome = call()
    finally:
        for ending in ("commit", "rollback"):
            event.remove(connection, ending, _refuse)
        ended = not (savepoint.is_active and whole is not None and whole.is_active)
        if ended and not connection.invalidated:
            # SQLAlchemy takes the transaction for ended, and would hand its open writes to the pool's next user.
            connection.invalidate()
    if ended:
        raise EndedByTool
    if connection.invalidated:
        raise DatabaseUnavailable("the connection was lost while a transactional tool wrote")
    if isinstance(outcome, Completed) and (broken := _broken_constraint(tx)):
        outcome = Failed("bug", broken, happened=False)
    if isinstance(outcome, Completed):
        savepoint.commit()
    else:
        savepoint.rollback()
    return outcome


def _broken_constraint(tx: Transaction) -> str | None:
    """Return what a deferred constraint, or an error that the tool has swallowed, would raise at the commit."""
    try:
        tx.run("check_constraints")
    except DBAPIError as error:
        if is_passing(error):
            raise
        return f"{type(error.orig).__name__}: {error.orig}"
    return None


def _refuse(_: Connection) -> None:
    raise EndedByTool
