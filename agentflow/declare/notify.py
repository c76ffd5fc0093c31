"""Notices: whom to tell of a run's end, and of its need of a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from agentflow.domain.errors import SubmissionRefused

Event = Literal["end", "person"]


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom a run tells of itself: by a webhook, by e-mail, or both.

    `on` names the events: `end` (it is done, failed or cancelled) and `person` (it waits for one: an approval, a
    question, a doubt). The message carries the run's id, agent, status and reason, never its input or result.
    """

    webhook: str | None = None
    email: str | None = None
    on: tuple[Event, ...] = ("end", "person")

    def __post_init__(self) -> None:
        if self.webhook is None and self.email is None:
            raise SubmissionRefused("Notify() tells nobody; give webhook= or email=")
        if not self.on or set(self.on) - {"end", "person"}:
            raise SubmissionRefused(f"Notify(on={self.on!r}): name 'end', 'person' or both")

    def as_json(self) -> dict[str, Any]:
        """Return the notices as stored with the run."""
        return {**asdict(self), "on": list(self.on)}
