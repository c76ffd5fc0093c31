"""The revisions that this code knows, and the code that the schema serves at each.

A revision is written for the code of its own release. Code of older releases is at work while it runs, and is started
again beside the new: it goes on where the schema serves it still. Each revision serves the one before it, or as far
back as its module says by `serves = "0002"`; what takes away what older code needs says `serves = revision`. What the
schema serves stands in the database, as a comment on its version table: the older code can't know the newer revisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text

from agentflow import layout

VERSION_TABLE = "schema_version"


def config(connection: Connection | None = None, schema: str = "") -> Config:
    """Return Alembic's configuration, for a connection and a schema on it."""
    made = Config()
    made.set_main_option("script_location", str(layout.path("migrations")).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes.update(connection=connection, schema=schema)
    return made


def known() -> Sequence[str]:
    """Return the revisions that this code knows, oldest first."""
    return [script.revision for script in _oldest_first(ScriptDirectory.from_config(config()), "head")]


def served_at(revision: str) -> Sequence[str]:
    """Return the revisions whose code works on the schema of another, newest first."""
    scripts = _oldest_first(ScriptDirectory.from_config(config()), revision)
    position = {script.revision: index for index, script in enumerate(scripts)}
    served, oldest = [], 0
    for script in reversed(scripts):
        if position[script.revision] < oldest:
            break
        served.append(script.revision)
        oldest = max(oldest, position[_serves(script)])
    return served


def note_served(connection: Connection, schema: str, revision: str) -> None:
    """Write down whose code the schema serves at a revision, in the transaction that brings it there."""
    words = f"{revision} serves {' '.join(served_at(revision))}"
    connection.execute(text(f'comment on table "{schema}".{VERSION_TABLE} is :words'), {"words": words})


def read_served(connection: Connection, schema: str, revision: str) -> Sequence[str]:
    """Return whose code the schema serves at its revision, as the database has it; nothing where it does not say."""
    query = text("select obj_description(to_regclass(:name), 'pg_class')")
    words: Any = connection.execute(query, {"name": f'"{schema}".{VERSION_TABLE}'}).scalar_one()
    said, _, served = str(words or "").partition(" serves ")
    return served.split() if said == revision else []


def _oldest_first(directory: ScriptDirectory, revision: str) -> list[Script]:
    return list(directory.walk_revisions("base", revision))[::-1]


def _serves(script: Script) -> str:
    return str(getattr(script.module, "serves", script.down_revision) or script.revision)
