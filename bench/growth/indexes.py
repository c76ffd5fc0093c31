"""Owns what uses an index: the plans of every named statement, and the scans that were counted.

A statement that never runs in a load still has a plan: Postgres makes a generic one of a prepared statement. What no
plan names and nothing has scanned is only kept up, at each insert; it may yet hold a uniqueness, or a table be too
small for its index to be worth a look.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2

from agentflow import Client
from agentflow.store.statements import Statements
from bench.growth import tables
from bench.loads.queries import Queries, Row

_PARAMETER = re.compile(r"%\((\w+)\)s")


def numbered(statement: str) -> str:
    """Return a statement with Postgres' own parameters, $1 for the first name."""
    names: dict[str, str] = {}
    text = _PARAMETER.sub(lambda found: names.setdefault(found[1], f"${len(names) + 1}"), statement)
    return text.replace("%%", "%")


def planned(queries: Queries, statements: Statements) -> dict[str, set[str]]:
    """Return for each index the statements whose plan names it: as the tables are, and as if scanning them were dear.

    A statement that cannot be planned without its values is left out.
    """
    found: dict[str, set[str]] = {}
    for is_cheap in ("on", "off"):
        queries.run(f"set enable_seqscan = {is_cheap}")
        for name, statement in statements.by_name.items():
            with contextlib.suppress(psycopg2.Error):
                [row] = queries.rows(f"explain (generic_plan, format json) {numbered(statement)}")
                for index in _indexes(row["QUERY PLAN"][0]["Plan"]):
                    found.setdefault(index, set()).add(name)
    queries.run("reset enable_seqscan")
    return found


def read_everything(client: Client) -> None:
    """Read what clients and operators read, so that the scans of these statements are counted."""
    for status in (None, "running", "done"):
        client.list(status=status)
    client.list(user="ann")
    client.list(conversation="one")
    run_id = client.list(most=1)[0].run_id
    for read in (client.steps, client.transitions, client.interventions, client.outbox):
        read(run_id)
    client.alerts()
    client.agents()
    client.approvals.list()
    client.tools.held()
    # A connection tells what it has scanned when it ends.
    client.database.close()


def unused(queries: Queries, plans: Mapping[str, set[str]]) -> Iterator[Row]:
    """Yield the indexes that no statement's plan names and that were never scanned, the largest first."""
    return (row for row in tables.index_sizes(queries) if row["name"] not in plans and not row["scans"])


def _indexes(plan: Mapping[str, Any]) -> Iterator[str]:
    if name := plan.get("Index Name"):
        yield name
    yield from plan.get("Conflict Arbiter Indexes", ())
    for below in plan.get("Plans", ()):
        yield from _indexes(below)
