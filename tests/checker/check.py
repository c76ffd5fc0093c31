"""The check: every group of assertions on one snapshot of the database, and the world's files beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.checker.budgets import check_budgets
from tests.checker.doubts import check_doubts
from tests.checker.effects import check_effects
from tests.checker.endings import check_endings
from tests.checker.evidence import Evidence, Violation
from tests.checker.histories import check_histories
from tests.checker.ledger import check_ledger
from tests.checker.outbox import check_outbox
from tests.checker.reading import check_reading
from tests.checker.records import Records, reading
from tests.checker.rest import check_rest
from tests.checker.results import check_results
from tests.checker.undoings import check_undoings

Assertion = Callable[[Records, Evidence], Iterator[Violation]]

GROUPS: Mapping[int, tuple[str, tuple[Assertion, ...]]] = {
    1: ("effects", (check_effects, check_ledger, check_undoings)),
    2: ("endings", (check_endings,)),
    3: ("histories", (check_histories, check_results)),
    4: ("budgets", (check_budgets,)),
    5: ("outbox", (check_outbox,)),
    6: ("rest", (check_rest,)),
    7: ("doubts", (check_doubts,)),
    8: ("reading", (check_reading,)),
}


def check(evidence: Evidence) -> list[Violation]:
    """Return all that is wrong, group by group; nothing where every promise holds."""
    with reading(evidence.database_url, evidence.schema) as records:
        return list(judge(records, evidence))


def judge(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Answer all that is wrong, as far as one connection sees."""
    for group in GROUPS:
        yield from judge_group(group, records, evidence)


def judge_group(group: int, records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Answer what one group of assertions finds."""
    for assertion in GROUPS[group][1]:
        yield from assertion(records, evidence)
