"""Group 7, how many doubts there were: no more than the faults that can have made one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.checker.evidence import Evidence, Violation
from tests.checker.records import Records
from tests.checker.troubles import doubts_of, unexplained

GROUP = 7


def check_doubts(records: Records, evidence: Evidence) -> Iterator[Violation]:
    """Find the doubts that are left when each fault has been given those that it hit, resolved ones too."""
    for doubt in unexplained(list(doubts_of(records)), evidence):
        yield Violation(GROUP, doubt.subject, f"was in doubt ({doubt.key!r}), and no fault is left that hit its call")
