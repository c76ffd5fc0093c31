"""Notices: whom to tell of a run's end, and of its need of a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from agentflow.domain.errors import SubmissionRefused, ToolError
from agentflow.domain.quoting import quoted
from agentflow.policy.addresses import PrivateReach
from agentflow.policy.delivering import check_webhook, read_mailbox

Event = Literal["end", "person"]

_EVENTS = ("end", "person")
_PUBLIC = PrivateReach()


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom a run tells of itself: by a webhook, by e-mail, or both.

    `on` names the events: `end` (it is done, failed or cancelled) and `person` (it waits for one: an approval, a
    question, a doubt). The message carries the run's id, agent, user, status and reason, never its input or result.
    """

    webhook: str | None = None
    email: str | None = None
    on: tuple[Event, ...] = ("end", "person")

    def __post_init__(self) -> None:
        if self.webhook is None and self.email is None:
            raise SubmissionRefused("Notify() tells nobody; give webhook= or email=")
        on: Any = self.on
        if not isinstance(on, tuple | list) or not on or any(each not in _EVENTS for each in on):
            raise SubmissionRefused(f"Notify(on={quoted(on)}): name 'end', 'person' or both, as a tuple")

    def as_json(self, private: PrivateReach = _PUBLIC) -> dict[str, Any]:
        """Return the notices as stored with the run; raise SubmissionRefused for an address that cannot be used.

        A webhook goes to a public address, or to one in `private`.
        """
        try:
            if self.webhook is not None:
                check_webhook({"url": self.webhook, "payload": {}}, private)
            if self.email is not None:
                read_mailbox("email", self.email)
        except (ToolError, TypeError, AttributeError) as error:
            raise SubmissionRefused(f"Notify() can tell nobody so: {error}") from error
        return {**asdict(self), "on": list(self.on)}
