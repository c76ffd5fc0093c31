"""Who a person is that intervenes, and why: what is written down has to name somebody, and be readable."""

from __future__ import annotations

from agentflow.domain import payload
from agentflow.domain.errors import InterventionRefused

_LONGEST_NAME = 500
_LONGEST_REASON = 4000


def checked_name(by: object) -> str:
    """Return who does it; raise InterventionRefused for nobody."""
    if not isinstance(by, str) or not by.strip() or len(by) > _LONGEST_NAME or not by.isprintable():
        raise InterventionRefused(f"by={by!r} names nobody; give a name of 1 to {_LONGEST_NAME} printable characters")
    return by.strip()


def checked_reason(reason: object) -> str | None:
    """Return why it is done, None where nothing is said; raise InterventionRefused for what nobody could read."""
    if reason is None:
        return None
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise InterventionRefused(f"the reason is no text of at most {_LONGEST_REASON} characters; shorten it")
    text: str = payload.sanitise(reason).value
    return text.replace("\x00", "\ufffd").strip() or None
