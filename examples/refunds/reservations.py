"""Owns what is still held once all runs have ended: budget in Postgres, slots in Redis. It should be nothing."""

from __future__ import annotations

import time

from sqlalchemy import or_, select

from agentflow import Client
from agentflow.gate.protocol import Gate
from agentflow.store.database import Transaction
from agentflow.store.tables import agent_runs
from examples.refunds.agent import refunds
from examples.refunds.checkout import checkout

# A worker gives its slot back just after the record that ends the run.
_GIVEN_BACK_S = 5.0
_POLL_S = 0.05
_EMAIL = "outbox.email"


def still_held(client: Client, gate: Gate, *, patience_s: float = _GIVEN_BACK_S) -> list[str]:
    """Name every reservation and every slot that nobody has given back, or gives back in a moment."""
    deadline = time.monotonic() + patience_s
    while (held := [*_reserved(client), *_slots(gate)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return held


def _reserved(client: Client) -> list[str]:
    wanted = or_(agent_runs.c.reserved_tokens != 0, agent_runs.c.reserved_cost_usd != 0)
    query = select(agent_runs.c.run_id, agent_runs.c.reserved_tokens, agent_runs.c.reserved_cost_usd).where(wanted)

    def body(tx: Transaction) -> list[str]:
        schemas = {None: client.database.schema}
        rows = tx.connection.execute(query, execution_options={"schema_translate_map": schemas}).mappings()
        return [
            f"run {row['run_id']} still reserves {row['reserved_tokens']} tokens and ${row['reserved_cost_usd']:f}"
            for row in rows
        ]

    return client.database.atomically(body)


def _slots(gate: Gate) -> list[str]:
    tools = [*refunds.tools.values(), *checkout.tools.values()]
    breakers = {tool.name: tool.depends_on or tool.name for tool in tools} | {_EMAIL: _EMAIL}
    states = gate.states({**breakers, refunds.bulkhead: refunds.depends_on or refunds.bulkhead})
    return [f"{state.in_use} slots of {state.name!r} are still taken" for state in states if state.in_use]
