"""Owns how a healthy database is broken for a test: in a transaction that is taken back, or in the world's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.checker.check import judge_group
from tests.checker.evidence import Evidence, Violation
from tests.checker.healthy import Healthy
from tests.checker.records import Records, connected
from tests.world.arrival import Arrival


@dataclass(frozen=True, slots=True)
class Broken:
    """One thing that is wrong. Runs stand by name: `{errands}` in `subject`, `%(errands)s` in `sql`."""

    subject: str
    says: str
    sql: str = "select 1"
    evident: Callable[[Evidence, Mapping[str, str]], Evidence] = lambda evidence, _: evidence


def cases(**named: Broken) -> Any:
    """Parametrize a test with broken things, by their names."""
    return pytest.mark.parametrize("broken", [pytest.param(each, id=name) for name, each in named.items()])


def found(group: int, healthy: Healthy, broken: Broken) -> list[Violation]:
    """Return what a group says of the database once it is broken."""
    with connected(healthy.evidence.database_url) as connection:
        with connection.cursor() as cursor:
            cursor.execute(broken.sql, healthy.runs)
        evidence = broken.evident(healthy.evidence, healthy.runs)
        return list(judge_group(group, Records(connection, evidence.schema), evidence))


def assert_reported(group: int, healthy: Healthy, broken: Broken) -> None:
    """Have the group name the very subject that was broken, and say why; what is whole it leaves alone."""
    subject = broken.subject.format(**healthy.runs)
    violations = found(group, healthy, broken)
    assert any(each.subject == subject and broken.says in each.what for each in violations), violations
    assert {each.group for each in violations} == {group}


def arriving(**arrival: Any) -> Callable[[Evidence, Mapping[str, str]], Evidence]:
    """Let one thing more arrive; runs stand by name in its texts."""

    def more(evidence: Evidence, runs: Mapping[str, str]) -> Evidence:
        named = {name: each.format(**runs) if isinstance(each, str) else each for name, each in arrival.items()}
        return replace(evidence, arrivals=[*evidence.arrivals, Arrival(**{"at": 4e9, "body": "b", **named})])

    return more


def without(key: str) -> Callable[[Evidence, Mapping[str, str]], Evidence]:
    """Take away what arrived under a key, or a name."""

    def fewer(evidence: Evidence, runs: Mapping[str, str]) -> Evidence:
        gone = key.format(**runs)
        return replace(evidence, arrivals=[each for each in evidence.arrivals if gone not in (each.key, each.name)])

    return fewer
