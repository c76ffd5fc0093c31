"""What the tests of operators' orders share: a doubt, what an order left behind, and orders that are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from agentflow.client.operations import Operations
from agentflow.domain.errors import InterventionRefused
from agentflow.domain.outcome import InDoubt
from tests.integration.hands import Hands

DOUBT = InDoubt("timeout", "no answer in 10 s")

_TABLES = (
    "agent_runs",
    "agent_steps",
    "interventions",
    "idempotency_records",
    "transitions",
    "conversations",
    "approvals",
)


def operations_of(hands: Hands) -> Operations:
    """The operator's hand on the runs of these hands."""
    return hands.harness.client.operations


def acts(hands: Hands, run_id: str) -> Sequence[Mapping[str, Any]]:
    """What people did to a run."""
    return hands.harness.client.interventions(run_id)


@contextmanager
def refused(hands: Hands, why: str) -> Iterator[None]:
    """An order that is refused for a reason (a pattern), and changes nothing."""
    before = _everything(hands)
    with pytest.raises(InterventionRefused, match=why):
        yield
    assert _everything(hands) == before


def _everything(hands: Hands) -> list[Any]:
    return [hands.sql(f"select t::text from agentflow.{name} t order by 1") for name in _TABLES]
