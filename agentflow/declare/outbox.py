"""The messages that a step sends: they leave if, and only if, the step is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentflow.domain.delivery import KIND_NAME
from agentflow.domain.errors import ToolError
from agentflow.domain.failure import ErrorKind
from agentflow.domain.outcome import OutboxMessage
from agentflow.policy.delivering import check_email, check_webhook

if TYPE_CHECKING:
    from agentflow.declare.delivery import CheckPayload, DeliveryKind

EMAIL, WEBHOOK = "email", "webhook"
BUILT_IN: Mapping[str, CheckPayload] = {EMAIL: check_email, WEBHOOK: check_webhook}
"""The kinds that are always there, and what their payloads are held to where no settings say more."""


class Outbox:
    """Where a tool queues messages; what can't be sent as it is meant is refused here, by a ToolError.

    `kinds` are those that this process knows; where it can't tell which there are, any is taken.
    """

    def __init__(self, kinds: Mapping[str, DeliveryKind] | None = None) -> None:
        self._kinds = kinds
        self._messages: list[OutboxMessage] = []

    def email(self, *, to: str, subject: str, body: str, html: str | None = None, reply_to: str | None = None) -> None:
        """Queue an e-mail to one recipient."""
        given = {"to": to, "subject": subject, "body": body, "html": html, "reply_to": reply_to}
        self.send(EMAIL, {name: value for name, value in given.items() if value is not None})

    def webhook(self, url: str, payload: Any, *, headers: Mapping[str, str] | None = None) -> None:
        """Queue a POST of `payload` as JSON to `url`, signed, with more headers if wanted."""
        given: dict[str, Any] = {"url": url, "payload": payload}
        self.send(WEBHOOK, given if headers is None else {**given, "headers": dict(headers)})

    def send(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Queue a message of a kind that was declared with `@delivery`; the payload is JSON data by name."""
        if not isinstance(payload, Mapping):
            raise _refused(f"the payload of a message of kind {kind!r} is a {type(payload).__name__}; give a mapping")
        if (check := self._check_of(kind)) is not None:
            check(payload)
        self._messages.append(OutboxMessage(kind, dict(payload)))

    @property
    def messages(self) -> tuple[OutboxMessage, ...]:
        """What was queued, in order."""
        return tuple(self._messages)

    def _check_of(self, kind: str) -> CheckPayload | None:
        known = self._kinds or {}
        if kind in known:
            return known[kind].check
        if kind in BUILT_IN:
            return BUILT_IN[kind]
        if self._kinds is not None or not KIND_NAME.fullmatch(kind):
            names = ", ".join(map(repr, sorted({*BUILT_IN, *known})))
            raise _refused(f"there is no kind of message {kind!r}; there are {names}: declare others with @delivery")
        return None


def _refused(message: str) -> ToolError:
    return ToolError(message, kind=ErrorKind.BAD_INPUT, happened=False)
