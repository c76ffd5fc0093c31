"""The text of a page: what came, how much more of it, and where to look."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.domain.page import Page
from agentflow.telemetry.redaction import without_secrets

_LONGEST_TITLE = 120
_LONGEST_MESSAGE = 700


@dataclass(frozen=True, slots=True)
class PageText:
    """A page in words, with nothing secret in it. `link` is an address, or else a command."""

    topic: str
    title: str
    message: str
    link: str
    run_id: str | None

    @property
    def body(self) -> str:
        """All that a person needs who only sees this."""
        return f"{self.message}\n\n{self.link}"


def page_text(page: Page, api_url: str | None = None) -> PageText:
    """Return a page's text; `api_url` is where the inspector is, if there is one."""
    topic = page.topic or page.cause
    message = _shown(page.message, _LONGEST_MESSAGE)
    if page.others:
        message += f"\n\n{page.others} more alert{'s' if page.others > 1 else ''} of this topic since the last page."
    if page.tenant != "default":
        message += f"\n\nTenant: {page.tenant}"
    title = _shown(f"agentflow: {topic}", _LONGEST_TITLE)
    return PageText(topic, title, message, link_to(page.run_id, api_url), page.run_id)


def link_to(run_id: str | None, api_url: str | None) -> str:
    """Return where a run can be looked at: an address if there is an inspector, else the command that shows it."""
    if run_id is None:
        return "agentflow alerts"
    return f"{api_url.rstrip('/')}/runs/{run_id}" if api_url else f"agentflow runs show {run_id}"


def _shown(text: str, most: int) -> str:
    # Cut twice: once so that a message of megabytes is not searched, once after what was found is gone.
    shown = without_secrets(text[: 4 * most])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
