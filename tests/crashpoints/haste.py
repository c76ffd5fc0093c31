"""Shorter times for victims and those who take over, so that a lease is over in seconds.

production                               here
a lease outlives its call by 10 s        1.5 s (the timer fires 0.5 s before its end, as in production)
a record is tried again for 8 s          1 s
a relay's batch is its own for 30 s      2 s
mail and webhooks have 35 s and 15 s     3.5 s
a hint counts as lost after 3 s          0.3 s
a message waits 1 s for a relay          0.2 s, and 2 s between two hints for one kind: 0.3 s
the sweeper's turn lasts 5 s             1 s
idle in a transaction for 15 s           2 s
"""

from __future__ import annotations

import sys

import agentflow.engine.advancing
import agentflow.engine.executor
import agentflow.engine.sweeper
import agentflow.engine.watch  # noqa: F401 - imported so that its copies of the margins are changed too
from agentflow.engine import recording, relay_batch, relay_recovery, sweeper
from agentflow.outbox import kinds
from agentflow.store import database

RECORD_MARGIN_S = 1.5
IDLE_S = 2


def hasten() -> None:
    """Shorten the times in this process and its children, wherever a module has a copy of its own."""
    for name, module in list(sys.modules.items()):
        if name.startswith("agentflow.") and hasattr(module, "RECORD_MARGIN_S"):
            vars(module)["RECORD_MARGIN_S"] = RECORD_MARGIN_S
    for owner in (recording, relay_batch):
        vars(owner)["_PATIENCE_S"] = RECORD_MARGIN_S - 0.5
    vars(relay_batch)["_LEASE_S"] = 2.0
    vars(relay_recovery).update(GRACE_S=0.2, _AGAIN_S=0.3)
    vars(sweeper).update(GRACE_S=0.3, _TURN_S=1.0)
    vars(kinds).update(WEBHOOK_TIMEOUT_S=3.0, _MARGIN_S=0.5)
    session = vars(database)["_SESSION"]
    if "idle_in_transaction_session_timeout" in session:
        vars(database)["_SESSION"] = {**session, "idle_in_transaction_session_timeout": f"{IDLE_S}s"}
