"""A page: what a person is told of the alerts of one topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Page:
    """The newest alert of a topic, and how many `others` came since the topic's last page."""

    tenant: str
    topic: str
    cause: str
    message: str
    run_id: str | None
    step_index: int | None
    others: int


@dataclass(frozen=True, slots=True)
class LeasedPage:
    """A page that is one worker's to send until `leased_until`, which is also what its mark is compared with.

    `looked_at` is up to when its alerts were counted, `tries` how often it was leased since the last one that went out,
    `taken_by` the keys of the services that took it in an earlier try.
    """

    page: Page
    leased_until: datetime
    looked_at: datetime
    tries: int
    taken_by: Sequence[str]
